"""The trained network: same phonemes and numbers as its equations in plain NumPy, true sensitivities, pictures."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import letters_to_phonemes as example
import numpy as np
import pytest

from tests.examples.checks import assert_pictures, needs_trained_network

WORDS = ["understanding", "activationist", "rhythm", "backpropagation", "xylophone", "a", "zzz", "recurrent", "q"]


@pytest.fixture(scope="module")
def model():
    return example.load_model()


@pytest.fixture(scope="module")
def weights():
    files = metadata.distribution("g2p-en").files
    with np.load(next(f.locate() for f in files if f.name == "checkpoint20.npz"), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def gru_step(x, h, w, side):
    """One step of the package's GRU on vectors: gates r, z, n."""
    hidden = len(h)
    a = w[f"{side}_w_ih"] @ x + w[f"{side}_b_ih"]
    b = w[f"{side}_w_hh"] @ h + w[f"{side}_b_hh"]
    r = 1 / (1 + np.exp(-(a[:hidden] + b[:hidden])))
    z = 1 / (1 + np.exp(-(a[hidden : 2 * hidden] + b[hidden : 2 * hidden])))
    n = np.tanh(a[2 * hidden :] + r * b[2 * hidden :])
    return (1 - z) * n + z * h


def reference(w, word, dtype, said=None, letters=None):
    """Phoneme indices (up to and including the end mark, 3) and their log-probabilities.

    `said` prescribes the phonemes instead of the likeliest; `letters` replaces the letters' embeddings.
    """
    w = {name: array.astype(dtype) for name, array in w.items()}
    if letters is None:
        letters = [w["enc_emb"][3 + ord(letter) - ord("a")] for letter in word] + [w["enc_emb"][2]]
    h = np.zeros(w["enc_w_hh"].shape[1], dtype)
    for x in letters:
        h = gru_step(x, h, w, "enc")
    heard, indices, log_probabilities = 2, [], []
    for k in range(20):
        h = gru_step(w["dec_emb"][heard], h, w, "dec")
        logits = (w["fc_w"] @ h + w["fc_b"]).astype(np.float64)
        heard = int(logits.argmax()) if said is None else said[k]
        indices.append(heard)
        log_probabilities.append(logits[heard] - logits.max() - np.log(np.exp(logits - logits.max()).sum()))
        if heard == 3 or (said is not None and k + 1 == len(said)):
            break
    return indices, np.array(log_probabilities)


@needs_trained_network
@pytest.mark.parametrize("word", WORDS)
def test_decodes_as_the_package_does(model, weights, word):
    spelling = example.spell(model, word)
    for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
        indices, log_probabilities = reference(weights, word, dtype)
        assert list(spelling.said) == [example.PHONEMES[k] for k in indices]
        np.testing.assert_allclose(spelling.log_probabilities.data, log_probabilities, rtol=0, atol=tolerance)


@needs_trained_network
def test_says_understanding(model):
    assert " ".join(example.spell(model, "Understanding").phonemes) == "AH1 N D ER0 S T AE2 N D IH0 NG"


@needs_trained_network
def test_a_word_that_never_ends_is_stopped(model, weights):
    spelling = example.spell(model, "antidisestablishmentarianism" * 2)
    indices, _ = reference(weights, spelling.word, np.float64)
    assert len(spelling.said) == example.LONGEST and example.END not in spelling.said
    assert list(spelling.said) == [example.PHONEMES[k] for k in indices]


@needs_trained_network
def test_sensitivity_is_the_norm_of_the_true_gradient(model, weights):
    """Random directions: the change of every log p_k along a unit direction of one letter's embedding."""
    word, rng, step = "rhythm", np.random.default_rng(0), 1e-6
    spelling = example.spell(model, word)
    said = [example.PHONEMES.index(p) for p in spelling.said]
    strength = example.sensitivity(spelling)
    assert strength.shape == (len(said), len(word) + 1)
    letters = spelling.letters.data
    for j in range(len(letters)):
        gradient = np.stack([_gradient(spelling, k)[j] for k in range(len(said))])
        np.testing.assert_allclose(strength[:, j], np.linalg.norm(gradient, axis=1), rtol=1e-10)
        direction = np.zeros_like(letters)
        direction[j] = rng.normal(size=letters.shape[1])
        plus = reference(weights, word, np.float64, said, letters + step * direction)[1]
        minus = reference(weights, word, np.float64, said, letters - step * direction)[1]
        np.testing.assert_allclose(gradient @ direction[j], (plus - minus) / (2 * step), rtol=1e-5, atol=1e-8)


def _gradient(spelling, k):
    (gradient,) = example.tg.grad(spelling.log_probabilities[k], spelling.letters)
    return gradient.data


@needs_trained_network
@pytest.mark.parametrize("word", ["understanding", "backpropagation", "recurrent"])
def test_the_alignment_is_diagonal(model, word):
    """Later phonemes depend on later letters: the centre of each row moves to the right."""
    strength = example.sensitivity(example.spell(model, word))
    centres = strength @ np.arange(strength.shape[1]) / strength.sum(axis=1)
    assert np.corrcoef(np.arange(len(centres)), centres)[0, 1] > 0.5


@pytest.mark.slow
@needs_trained_network
def test_pictures(tmp_path, capsys):
    assert example.main(["rhythm", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "rhythm: R IH1 DH AH0 M" in printed
    names = ["rhythm-decay.png", "rhythm-encoder.svg", "rhythm-sensitivity.png"]
    assert_pictures(tmp_path, names, printed)


@needs_trained_network
@pytest.mark.parametrize(("word", "message"), [("café", "letter 4 is 'é'"), ("</s>", "letter 1 is '<'"), ("", "empty")])
def test_letters_it_cannot_read(word, message, tmp_path, capsys):
    assert example.main([word, "--out", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_says_how_to_get_the_weights(monkeypatch, tmp_path: Path, capsys):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    assert example.main(["word", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "pip install --no-deps g2p-en" in error and error.count("\n") == 1

/** All tracks of a run, from the strip to the axis. */
import { takeAlong } from "../take";
import { Axis } from "./axis";
import { Decay } from "./decay";
import { Gates } from "./gates";
import { Strip } from "./strip";
import type { Scene, Track } from "./track";
import { Ways } from "./ways";
import { Weights } from "./weights";

export class Views {
  readonly tracks: Track[];
  readonly strip: Strip;
  readonly decay: Decay;
  #gates: Gates | null;
  #ways: Ways | null;
  #weights: Weights | null;

  constructor(scene: Scene, layer: string, shown: (from: number, to: number) => void, moved: (t: number) => void) {
    const { run } = scene,
      { ways } = run;
    this.strip = new Strip(scene, shown, moved);
    this.decay = new Decay(scene, layer);
    this.#gates = run.gates.length ? new Gates(scene, layer) : null;
    this.#ways = ways?.ways.length ? new Ways(scene, layer, run.verdict.state) : null;
    this.#weights = run.weights ? new Weights(scene, layer) : null;
    const named: [string, Track | null][] = [
      ["decay", this.decay],
      ["gates", this.#gates],
      ["weights", this.#weights],
      ["ways", this.#ways],
    ];
    for (const [name, track] of named) {
      if (!track) continue;
      const take = takeAlong(
        () => `${run.label} ${name}`,
        () => track.elements.filter(e => !e.hidden),
        () => track.table!(),
      );
      track.elements[0].append(take);
    }
    this.tracks = [this.strip, ...named.flatMap(([, track]) => track ?? []), new Axis(scene)];
  }
  put(overview: HTMLElement, plots: HTMLElement): void {
    overview.replaceChildren(this.strip.above, ...this.strip.elements, this.strip.below, this.strip.part);
    plots.replaceChildren(...this.tracks.slice(1).flatMap(track => track.elements));
  }
  /** In a stack, the layer that is looked at. */
  choose(layer: string): void {
    this.decay.choose(layer);
    this.#gates?.choose(layer);
    this.#weights?.choose(layer);
    this.#ways?.choose(layer);
  }
  /** Another part of time is shown. */
  turn(): void {
    for (const track of this.tracks.slice(1)) track.draw();
    this.strip.frame();
  }
}

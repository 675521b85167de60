// Bundles the page and the widget: node build.mjs [FOLDER]. What comes out is committed, and the same bytes each time.
import { build } from "esbuild";
import { writeFileSync } from "node:fs";

const folder = process.argv[2] ?? "dist";
const common = {
  bundle: true, minify: true, target: "es2022", charset: "utf8", legalComments: "none", metafile: true, logLevel: "warning",
  banner: { js: "/*! tinygrad-rnn, MIT */" },
};
const made = [
  await build({ ...common, entryPoints: ["src/page.ts"], format: "iife", outfile: `${folder}/page.js` }),
  await build({ ...common, entryPoints: ["src/widget.ts"], format: "esm", outfile: `${folder}/widget.js`, loader: { ".html": "text", ".css": "text" } }),
];
if (process.argv.includes("--metafile")) {
  const inputs = made.flatMap(({ metafile }) => Object.keys(metafile.inputs));
  writeFileSync(`${folder}/inputs.json`, JSON.stringify([...new Set(inputs)].sort()));
}

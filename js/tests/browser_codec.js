/** Check the codec in a browser: with onnxruntime-web, which a page without an import map passes as a module. */

import { readTensors } from "../bundle/safetensors.js";
import { Bundle } from "../bundle/bundle.js";
import { Codec } from "../codec.js";
import { createEngine } from "../engine/onnxruntime.js";
import { createEngine as createOwn } from "../engine/own.js";
import { toImageData } from "../images.js";
import { assertSame } from "./golden.js";

/** @import { Golden, Read } from "./golden.js" */
/** @import { DecodedImage } from "../images.js" */

const FOLDER = "fmae_edge/bundles/default";
const FILES = ["manifest.json", "prior.safetensors", "encoder.onnx", "decoder.onnx"];
const DIST = new URL("../node_modules/onnxruntime-web/dist/", import.meta.url);

/** @type {Record<string, (golden: Golden, read: Read) => Promise<void>>} */
export const CODEC_CHECKS = {
  "a codec loaded from a URL and one of chosen files code images of a canvas": async (_golden, read) => {
    const module = `${DIST}ort.wasm.min.mjs`;
    const ort = await import(module);
    /** @type {import("../engine/engine.js").CreateEngine} */
    const engine = (bundle, options) => createEngine(bundle, { ...options, ort, wasmPaths: `${DIST}` });
    const chosen = await Promise.all(FILES.map(async (name) => new File([await bytes(read, name)], name)));
    const tensors = readTensors(await read(`${FOLDER}/golden.safetensors`), "golden", { floats: true });
    const file = /** @type {Uint8Array} */ (tensors.get("file")?.data);
    const symbols = /** @type {Int32Array} */ (tensors.get("symbols")?.data);
    const contents = [];
    for (const source of [`/${FOLDER}`, chosen]) {
      const codec = await Codec.load(source, { engine });
      assertSame(
        (await codec.symbols(file)).flatMap((row) => [...row]),
        symbols,
      );
      const decoded = await codec.decompressBatch(file);
      const drawn = decoded.map(throughCanvas);
      contents.push(await codec.compressBatch(drawn, { names: drawn.map((_, number) => `image-${number}`) }));
      assertSame(
        contents.at(-1),
        await codec.compressBatch(decoded, { names: (await codec.names(contents[0])) ?? [] }),
      );
      const lossless = await codec.compressBatch(drawn, { minPsnr: Infinity });
      assertSame(await codec.decompressBatch(lossless), decoded);
      await codec.close();
    }
    assertSame(contents[1], contents[0]);
  },

  "the own engine returns exactly the golden latents and pixels of the int8 graphs": async (_golden, read) => {
    const tensors = readTensors(await read(`${FOLDER}/golden.safetensors`), "golden", { floats: true });
    const vectors = (/** @type {string} */ name) => /** @type {any} */ (tensors.get(name)?.data);
    const engine = await createOwn(await Bundle.load(`/${FOLDER}`), { precision: "int8" });
    const latents = await engine.encode(vectors("images"), 8);
    assertSame(latents, vectors("int8.latents"));
    assertSame(await engine.decode(latents, 8), vectors("int8.pixels"));
  },
};

/** @param {Read} read @param {string} name */
async function bytes(read, name) {
  return /** @type {Uint8Array<ArrayBuffer>} */ (await read(`${FOLDER}/${name}`));
}

/** @param {DecodedImage} image */
function throughCanvas(image) {
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  pen.putImageData(toImageData(image), 0, 0);
  return pen.getImageData(0, 0, image.width, image.height);
}

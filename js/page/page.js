/** The page: it loads the codec of a bundle, and keeps the images that people give it. */

import { InputError } from "../errors.js";
import { download } from "./downloads.js";
import { DrawingPad } from "./drawing_pad.js";
import { element } from "./elements.js";
import { contentOf, listenForFiles } from "./file_input.js";
import { Gallery } from "./gallery.js";
import { newPen, readImage, seenImage, stemOf } from "./image_input.js";
import { RemoteCoding } from "./remote_coding.js";
import { Settings } from "./settings.js";
import { Viewer, sentenceOf } from "./viewer.js";

/** @import { Description } from "./coding.js" */
/** @import { Item } from "./gallery.js" */

const MOST_ITEMS = 500;
const MOST_NUMBERS = 2 ** 28; // of pixels and channels in all items, because a tab has little memory
const FEWEST_ITEMS = 16; // of any size
const SHOWN_PROBLEMS = 4;
const FMAE_NAME = /\.fmae$/i;

/** The images of the page, and what people do with them. */
class Page {
  /**
   * @param {RemoteCoding} coding
   * @param {Description} bundle
   */
  constructor(coding, bundle) {
    this.coding = coding;
    this.bundle = bundle;
    /** @type {Item[]} */
    this.items = [];
    this.settings = new Settings(() => this.viewer.update());
    this.viewer = new Viewer(coding, bundle, this.settings);
    this.gallery = new Gallery((item) => this.choose(item));
    this.pad = new DrawingPad((pen) => this.#onStroke(pen));
    this.pad.fit(bundle.size);
    const { width, height, channels } = bundle.size;
    const fitting = Math.floor(MOST_NUMBERS / (width * height * channels));
    this.mostItems = Math.max(FEWEST_ITEMS, Math.min(MOST_ITEMS, fitting));
    let adding = Promise.resolve();
    listenForFiles((files) => {
      const add = () => this.#addFiles(files);
      adding = adding.then(add, add); // one drop after the other, so that together they keep to the most items
    });
    element("draw", HTMLButtonElement).addEventListener("click", () => this.draw());
    element("download", HTMLButtonElement).addEventListener("click", () => this.#download());
    element("download-all", HTMLButtonElement).addEventListener("click", () => this.#downloadAll());
  }

  /**
   * Add an item; if its name is taken, it gets a number.
   *
   * @param {Item} item
   * @returns {Item}
   */
  add(item) {
    const names = new Set(this.items.map(({ name }) => name));
    let { name } = item;
    for (let copy = 2; names.has(name); copy++) {
      name = `${item.name} (${copy})`;
    }
    const added = { ...item, name };
    this.items.push(added);
    this.gallery.add(added);
    element("download-all", HTMLButtonElement).hidden = this.#own.length < 2;
    return added;
  }

  /**
   * @param {Item} item
   * @returns {Promise<void>} resolved when it is shown
   */
  choose(item) {
    this.gallery.mark(item);
    const shown = this.viewer.show(item);
    this.pad.turn(item.kind === "drawing");
    return shown;
  }

  /** Begin a drawing. */
  draw() {
    const original = seenImage(newPen(this.bundle.size), this.bundle.size);
    const drawing = this.add({ name: "Drawing", original, note: "", kind: "drawing", opened: null });
    this.pad.canvas.focus({ preventScroll: true });
    return this.choose(drawing).then(() => this.pad.canvas.focus());
  }

  /** The images that people gave, which a file of all images has. */
  get #own() {
    return this.items.filter(({ kind }) => kind === "input" || kind === "drawing");
  }

  /** @param {CanvasRenderingContext2D} pen */
  #onStroke(pen) {
    const { item } = this.viewer;
    if (item?.kind === "drawing") {
      item.original = seenImage(pen, this.bundle.size);
      this.gallery.draw(item);
      this.viewer.update();
    }
  }

  /** @param {File[]} files */
  async #addFiles(files) {
    const problems = [];
    /** @type {Item | null} */
    let first = null;
    for (const file of files) {
      try {
        if (this.items.length >= this.mostItems) {
          problems.push(
            `${file.name} and those after it are left out: the page keeps ${this.mostItems} images`,
          );
          break;
        }
        for (const item of await this.#read(file)) {
          const added = this.add(item);
          first ??= added;
        }
      } catch (error) {
        problems.push(`${file.name}: ${sentenceOf(error)}`);
      }
    }
    const more = problems.splice(SHOWN_PROBLEMS).length;
    const lines = more ? [...problems, `${more} more files could not be read`] : problems;
    element("problem", HTMLElement).textContent = lines.join("\n");
    if (first !== null) {
      await this.choose(first);
    }
  }

  /**
   * Return the image in a file, or the images in a .fmae file.
   *
   * @param {File} file
   * @returns {Promise<Item[]>}
   */
  async #read(file) {
    const name = stemOf(file.name);
    const start = await contentOf(file.slice(0, 16));
    if (!FMAE_NAME.test(file.name) && !(await this.coding.isFmae(start))) {
      const { image, note } = await readImage(file, this.bundle.size);
      return [{ name, original: image, note, kind: "input", opened: null }];
    }
    const content = await contentOf(file);
    const most = this.mostItems - this.items.length;
    const { images, total } = await this.coding.open(content, most);
    if (total === 0) {
      throw new InputError("has no images");
    }
    const shown = images.length < total ? `, of which the page shows ${images.length}` : "";
    const others = total === 1 ? "" : `: ${content.length} B, ${total} images${shown}`;
    const bytesNote = `in ${file.name}${others}`;
    return images.map(({ image, name: given, quality, bytes }, index) => {
      const own = given ?? (total === 1 ? name : `${name} ${index}`);
      return { name: own, original: null, note: "", kind: "opened", opened: { image, quality, bytes, bytesNote } };
    });
  }

  #download() {
    const { figures } = this.viewer;
    if (figures !== null) {
      download(figures.coded.content, `${figures.item.name}.fmae`);
    }
  }

  async #downloadAll() {
    const own = this.#own;
    const images = own.map(({ original }) => /** @type {import("../images.js").DecodedImage} */ (original));
    const names = own.map(({ name }) => name);
    try {
      download(await this.coding.stack(images, names, this.settings.setting), "images.fmae");
    } catch (error) {
      element("problem", HTMLElement).textContent = sentenceOf(error);
    }
  }
}

/** @param {Description} bundle */
function describe({ name, bundleId, size, latents }) {
  const kind = size.channels === 1 ? "gray" : "RGB";
  const dimensions = `${size.width}×${size.height}`;
  document.title = `${name}: fmae-edge`;
  element("name", HTMLElement).textContent = name;
  element("lead", HTMLElement).textContent =
    `A codec for ${kind} images of ${dimensions} pixels, running in this page. Its model turns an image into ` +
    `${latents} numbers, stores them in a few bytes, and draws the image again from them.`;
  element("sizes", HTMLElement).textContent = `Images of another size are scaled to ${dimensions}.`;
  element("about", HTMLElement).textContent = `Bundle ${bundleId}.`;
  element("main", HTMLElement).hidden = false;
}

async function start() {
  try {
    const coding = new RemoteCoding();
    const bundle = await coding.load(new URL("bundle/", document.baseURI).href);
    describe(bundle);
    const page = new Page(coding, bundle);
    (await coding.examples()).forEach((original, number) => {
      const name = `Training image ${number + 1}`;
      page.add({ name, original, note: "", kind: "example", opened: null });
    });
    await (page.items.length ? page.choose(page.items[0]) : page.draw());
    document.documentElement.dataset.ready = performance.now().toFixed(); // ms since the page was opened
  } catch (error) {
    const lead = element("lead", HTMLElement);
    lead.setAttribute("role", "alert");
    lead.textContent = sentenceOf(error);
  }
}

start();

/** A canvas of the bundle's size to draw on, with a mouse, a finger or the keyboard. */

import { penOf } from "./image_input.js";
import { element } from "./elements.js";

const STEPS = new Map([
  ["ArrowLeft", [-1, 0]],
  ["ArrowRight", [1, 0]],
  ["ArrowUp", [0, -1]],
  ["ArrowDown", [0, 1]],
]);
const BLACK = "#000000";
const USUAL_SHARE = 9; // the brush's width is the image's divided by this

/** Draws on the canvas of the original while `isOn`, and calls `onChange` after each stroke. */
export class DrawingPad {
  /** @param {(pen: CanvasRenderingContext2D) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.canvas = element("original", HTMLCanvasElement);
    this.pen = penOf(this.canvas);
    this.width = element("brush-width", HTMLInputElement);
    this.brightness = element("brightness", HTMLInputElement);
    this.colour = element("colour", HTMLInputElement);
    this.erase = element("erase", HTMLButtonElement);
    this.brush = element("brush", HTMLElement);
    this.isOn = false;
    this.isDown = false;
    this.place = { x: 0, y: 0 };
    this.#listen();
  }

  /**
   * Prepare for images of a bundle.
   *
   * @param {{ width: number, height: number, channels: number }} size
   */
  fit({ width, height, channels }) {
    const side = Math.min(width, height);
    this.width.max = String(Math.max(2, Math.round(side / 3)));
    this.width.value = String(Math.max(1, Math.round(side / USUAL_SHARE)));
    element("brightness-label", HTMLElement).hidden = channels !== 1;
    element("colour-label", HTMLElement).hidden = channels === 1;
  }

  /**
   * Let people draw, or not. The caller draws the image to begin with.
   *
   * @param {boolean} isOn
   */
  turn(isOn) {
    this.isOn = isOn;
    this.isDown = false;
    element("tools", HTMLElement).hidden = !isOn;
    this.brush.hidden = true;
    if (isOn) {
      const { width, height } = this.canvas;
      this.place = { x: width / 2, y: height / 2 };
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute("role", "application");
      this.canvas.setAttribute("aria-label", `Drawing area of ${width} by ${height} pixels`);
      this.canvas.setAttribute("aria-describedby", "pad-help");
    } else {
      this.canvas.removeAttribute("tabindex");
      this.canvas.setAttribute("role", "img");
      this.canvas.removeAttribute("aria-describedby");
    }
  }

  #listen() {
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.isOn && event.button === 0) {
        this.canvas.setPointerCapture(event.pointerId);
        this.isDown = true;
        this.#draw(this.#placeOf(event), this.#placeOf(event));
      }
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.isOn && this.isDown) {
        for (const each of event.getCoalescedEvents?.() ?? [event]) {
          this.#draw(this.place, this.#placeOf(each));
        }
      }
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(end, () => (this.isDown = false));
    }
    this.canvas.addEventListener("keydown", (event) => this.#onKey(event));
    this.canvas.addEventListener("focus", () => this.#showBrush());
    this.canvas.addEventListener("blur", () => (this.brush.hidden = true));
    this.erase.addEventListener("click", () => {
      this.erase.setAttribute("aria-pressed", String(!this.#erases));
    });
    element("clear", HTMLButtonElement).addEventListener("click", () => {
      this.pen.fillStyle = BLACK;
      this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
      this.onChange(this.pen);
    });
  }

  get #erases() {
    return this.erase.getAttribute("aria-pressed") === "true";
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const step = STEPS.get(event.key);
    if (!this.isOn || event.ctrlKey || event.altKey || event.metaKey || (!step && event.key !== " ")) {
      return;
    }
    event.preventDefault(); // the page would scroll
    const { width, height } = this.canvas;
    const [right, down] = step ?? [0, 0];
    const from = this.place;
    const stride = Math.max(1, Math.min(width, height) / 28);
    const to = {
      x: Math.min(Math.max(from.x + right * stride, 0), width),
      y: Math.min(Math.max(from.y + down * stride, 0), height),
    };
    if (!step || event.shiftKey) {
      this.#draw(from, to);
    }
    this.place = to;
    this.#showBrush();
  }

  /**
   * @param {{ x: number, y: number }} from
   * @param {{ x: number, y: number }} to
   */
  #draw(from, to) {
    const { pen } = this;
    const level = this.brightness.value;
    const isGray = this.colour.closest("label")?.hidden;
    const paint = this.#erases ? BLACK : isGray ? `rgb(${level} ${level} ${level})` : this.colour.value;
    const lineWidth = Number(this.width.value);
    Object.assign(pen, { strokeStyle: paint, fillStyle: paint, lineWidth, lineCap: "round" });
    pen.beginPath();
    if (from.x === to.x && from.y === to.y) {
      pen.arc(to.x, to.y, lineWidth / 2, 0, 2 * Math.PI); // a line of no length has no ends
      pen.fill();
    } else {
      pen.moveTo(from.x, from.y);
      pen.lineTo(to.x, to.y);
      pen.stroke();
    }
    this.place = to;
    this.onChange(pen);
  }

  /** @param {PointerEvent} event */
  #placeOf(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - left) / width) * this.canvas.width,
      y: ((event.clientY - top) / height) * this.canvas.height,
    };
  }

  /** Show where the brush of the keyboard is. */
  #showBrush() {
    if (!this.isOn || !this.canvas.matches(":focus-visible")) {
      return;
    }
    const scale = this.canvas.clientWidth / this.canvas.width;
    const side = Number(this.width.value) * scale;
    this.brush.hidden = false;
    Object.assign(this.brush.style, {
      width: `${side}px`,
      height: `${side}px`,
      left: `${this.place.x * scale - side / 2}px`,
      top: `${this.place.y * scale - side / 2}px`,
    });
  }
}

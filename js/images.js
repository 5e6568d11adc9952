/**
 * Check the images of callers, and convert them between rows of pixels and the planes of channels that graphs
 * take.
 *
 * An image is `ImageData`, whose pixels have 4 channels, or an object with the bundle's number of channels.
 */

import { InputError, kindOf, shown } from "./errors.js";

const OPAQUE = 255;
const RGBA = 4;

/**
 * Rows go from top to bottom, pixels in a row from left to right, the channels of a pixel lie together. Without
 * `channels`, there are 4, as in `ImageData`.
 *
 * @typedef {object} ImageLike
 * @property {number} width
 * @property {number} height
 * @property {number} [channels]
 * @property {Uint8Array | Uint8ClampedArray} data
 *
 * A decoded image: 1 channel is gray, 3 are red, green and blue.
 *
 * @typedef {{ width: number, height: number, channels: number, data: Uint8Array }} DecodedImage
 *
 * The size of a bundle's images.
 *
 * @typedef {{ width: number, height: number, channels: number }} ImageSize
 */

/**
 * Check that images fit a bundle, before they are converted part by part.
 *
 * @param {unknown} images
 * @param {ImageSize} size
 * @returns {readonly ImageLike[]}
 * @throws {InputError} if one has another size, other channels, or pixels that are not opaque; the message begins
 *   with its number
 */
export function asImages(images, size) {
  if (!Array.isArray(images)) {
    throw new InputError(`images are ${kindOf(images)}; expected an array of images`);
  }
  // entries() has the holes of a sparse array, which forEach would skip
  for (const [number, image] of images.entries()) {
    try {
      requireFitting(image, size);
    } catch (error) {
      throw error instanceof InputError ? new InputError(`image ${number}: ${error.message}`) : error;
    }
  }
  return images;
}

/**
 * Check that an image fits a bundle.
 *
 * @param {ImageLike} image
 * @param {ImageSize} size
 * @returns {ImageLike}
 * @throws {InputError} if it has another size, other channels, or pixels that are not opaque
 */
export function asImage(image, size) {
  requireFitting(image, size);
  return image;
}

/**
 * Return the levels (n, channels, height, width) of images that were checked. RGBA becomes gray as Pillow's
 * `convert("L")` makes it, if the bundle is gray.
 *
 * @param {readonly ImageLike[]} images
 * @param {ImageSize} size
 * @returns {Uint8Array}
 */
export function toPlanes(images, size) {
  const numbers = size.width * size.height * size.channels;
  const planes = new Uint8Array(images.length * numbers);
  images.forEach((image, number) => {
    convert(image, size, planes.subarray(number * numbers, (number + 1) * numbers));
  });
  return planes;
}

/**
 * Return the images in levels (n, channels, height, width).
 *
 * @param {Uint8Array} planes
 * @param {ImageSize} size
 * @returns {DecodedImage[]}
 */
export function toImages(planes, { width, height, channels }) {
  const pixels = width * height;
  const numbers = pixels * channels;
  return Array.from({ length: planes.length / numbers }, (_, number) => {
    const data = new Uint8Array(numbers);
    for (let channel = 0; channel < channels; channel++) {
      const first = number * numbers + channel * pixels;
      for (let pixel = 0; pixel < pixels; pixel++) {
        data[pixel * channels + channel] = planes[first + pixel];
      }
    }
    return { width, height, channels, data };
  });
}

/**
 * Return an image for a canvas.
 *
 * @param {DecodedImage} image of 1 or 3 channels
 * @returns {ImageData}
 * @throws {InputError} if it has another number of channels, or this is not a browser
 */
export function toImageData({ width, height, channels, data }) {
  if (channels !== 1 && channels !== 3) {
    throw new InputError(`the image has ${channels} channels; a canvas shows 1 or 3`);
  }
  if (typeof ImageData === "undefined") {
    throw new InputError("there is no ImageData here: only browsers have it");
  }
  const pixels = new Uint8ClampedArray(width * height * RGBA);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      pixels[pixel * RGBA + channel] = data[pixel * channels + (channels === 1 ? 0 : channel)];
    }
    pixels[pixel * RGBA + 3] = OPAQUE;
  }
  return new ImageData(pixels, width, height);
}

/**
 * @param {ImageLike} image
 * @param {ImageSize} size
 * @param {Uint8Array} planes (channels, height, width), which it fills
 */
function convert({ channels = RGBA, data }, size, planes) {
  const pixels = size.width * size.height;
  for (let pixel = 0; pixel < pixels; pixel++) {
    const at = pixel * channels;
    if (channels === RGBA && size.channels === 1) {
      planes[pixel] = grayLevel(data[at], data[at + 1], data[at + 2]);
    } else {
      for (let channel = 0; channel < size.channels; channel++) {
        planes[channel * pixels + pixel] = data[at + channel];
      }
    }
  }
}

/**
 * @param {ImageLike} image
 * @param {ImageSize} size
 */
function requireFitting(image, size) {
  if (typeof image !== "object" || image === null) {
    throw new InputError(`the image is ${shown(image)}; expected ImageData or { width, height, channels, data }`);
  }
  const { width, height, channels = RGBA, data } = image;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new InputError(
      `the data of the image is ${kindOf(data)}; expected a Uint8Array or a Uint8ClampedArray of levels`,
    );
  }
  if (width !== size.width || height !== size.height) {
    throw new InputError(
      `the image has ${shown(width)}x${shown(height)} pixels; this bundle takes ${size.width}x${size.height}`,
    );
  }
  const isRgba = channels === RGBA && (size.channels === 1 || size.channels === 3);
  if (channels !== size.channels && !isRgba) {
    throw new InputError(`the image has ${shown(channels)} channels; this bundle takes ${expectedChannels(size)}`);
  }
  if (data.length !== width * height * channels) {
    const product = `${width} x ${height} x ${channels} = ${width * height * channels}`;
    throw new InputError(`the data of the image has ${data.length} numbers; expected ${product}`);
  }
  if (isRgba) {
    requireOpaque(data, width);
  }
}

/** @param {ImageSize} size */
function expectedChannels({ channels }) {
  return channels === 1 ? "1 (gray) or 4 (RGBA)" : channels === 3 ? "3 (RGB) or 4 (RGBA)" : String(channels);
}

/**
 * @param {Uint8Array | Uint8ClampedArray} rgba
 * @param {number} width
 */
function requireOpaque(rgba, width) {
  for (let at = 3; at < rgba.length; at += RGBA) {
    if (rgba[at] !== OPAQUE) {
      const pixel = (at - 3) / RGBA;
      const place = `column ${pixel % width}, row ${Math.floor(pixel / width)}`;
      throw new InputError(`the image has a transparent pixel (${place}): put it on a background first`);
    }
  }
}

/**
 * @param {number} red
 * @param {number} green
 * @param {number} blue
 */
function grayLevel(red, green, blue) {
  return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
}

/** Write safetensors files, for tests of priors. */

/** @typedef {{ dtype: string, shape: number[], data: ArrayLike<number> }} Plain */

/** @type {Record<string, (view: DataView, at: number, number: number) => void>} */
const WRITE = {
  I8: (view, at, number) => view.setInt8(at, number),
  U8: (view, at, number) => view.setUint8(at, number),
  I16: (view, at, number) => view.setInt16(at, number, true),
  U16: (view, at, number) => view.setUint16(at, number, true),
  I32: (view, at, number) => view.setInt32(at, number, true),
};
const SIZES = { I8: 1, U8: 1, I16: 2, U16: 2, I32: 4 };

/**
 * Return the bytes of a safetensors file.
 *
 * @param {Record<string, Plain>} tensors
 * @returns {Uint8Array}
 */
export function packTensors(tensors) {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, data }]) => {
    const begin = end;
    end += data.length * SIZES[/** @type {keyof typeof SIZES} */ (dtype)];
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const content = new Uint8Array(8 + header.length + end);
  const view = new DataView(content.buffer);
  view.setUint32(0, header.length, true);
  content.set(header, 8);
  let at = 8 + header.length;
  for (const { dtype, data } of Object.values(tensors)) {
    for (const number of Array.from(data)) {
      WRITE[dtype](view, at, number);
      at += SIZES[/** @type {keyof typeof SIZES} */ (dtype)];
    }
  }
  return content;
}

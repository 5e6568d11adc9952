// Convolutions and dense layers, and the padding of their images

#include "kernels.h"

#define NOINLINE __attribute__((noinline))  // called once per sum; inlined, it would double the size of the code
#define UNROLL _Pragma("clang loop unroll(full)")  // or sums would lie in memory, not in registers
#define OUTPUTS 8    // a convolution computes this many channels at once,
#define POSITIONS 4  // of this many pixels

// A convolution over images that already have their padding. A dense layer is one over images of 1x1.
struct conv {
  const void *input, *weights, *bias;
  const float *scale;  // of each output; none for float32
  void *output;
  int32_t rows, columns;                        // of an output image
  int32_t image_stride, row_stride, pixel_stride;  // of the input, in numbers
  int32_t kernel_rows, kernel_row;              // rows, and numbers in a row: int16 numbers come in pairs
  int32_t outputs;
  float low, high;     // limits before the zero point is added
  int32_t zero_point;
  int32_t kind;
};
enum { TO_FLOAT, TO_UINT8, TO_INT8 };

// Offsets of the next pixels in the input, row by row and image by image
struct place {
  int32_t row, column, offset;
};

static inline int32_t next(struct place *at, const struct conv *c) {
  int32_t offset = at->offset + at->row * c->row_stride + at->column * c->pixel_stride;
  if (++at->column == c->columns) {
    at->column = 0;
    if (++at->row == c->rows) {
      at->row = 0;
      at->offset += c->image_stride;
    }
  }
  return offset;
}

static inline v128_t quantised(v128_t sum, v128_t scale, const struct conv *c) {
  v128_t value = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(sum), scale);
  value = wasm_f32x4_pmax(value, wasm_f32x4_splat(c->low));
  value = wasm_f32x4_pmin(value, wasm_f32x4_splat(c->high));
  value = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(value));
  return wasm_i32x4_add(value, wasm_i32x4_splat(c->zero_point));
}

// Write the first `count` of 8 results
static NOINLINE void store_integers(v128_t low, v128_t high, int32_t count, const struct conv *c, int32_t at) {
  const float *scale = c->scale + at % c->outputs;
  if (c->kind == TO_FLOAT) {
    float values[OUTPUTS], *output = (float *)c->output + at;
    wasm_v128_store(values, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(low), wasm_v128_load(scale)));
    wasm_v128_store(values + 4, wasm_f32x4_mul(wasm_f32x4_convert_i32x4(high), wasm_v128_load(scale + 4)));
    for (int32_t i = 0; i < count; i++) output[i] = values[i];
    return;
  }
  low = quantised(low, wasm_v128_load(scale), c);
  high = quantised(high, wasm_v128_load(scale + 4), c);
  v128_t levels = wasm_i16x8_narrow_i32x4(low, high);
  levels = c->kind == TO_INT8 ? wasm_i8x16_narrow_i16x8(levels, levels) : wasm_u8x16_narrow_i16x8(levels, levels);
  uint8_t *output = (uint8_t *)c->output + at;
  if (count == OUTPUTS) {
    wasm_v128_store64_lane(output, levels, 0);
    return;
  }
  uint8_t bytes[16];
  wasm_v128_store(bytes, levels);
  for (int32_t i = 0; i < count; i++) output[i] = bytes[i];
}

static NOINLINE void store_floats(v128_t low, v128_t high, int32_t count, const struct conv *c, int32_t at) {
  v128_t least = wasm_f32x4_splat(c->low), most = wasm_f32x4_splat(c->high);
  low = wasm_f32x4_pmin(wasm_f32x4_pmax(low, least), most);
  high = wasm_f32x4_pmin(wasm_f32x4_pmax(high, least), most);
  float *output = (float *)c->output + at;
  if (count == OUTPUTS) {
    wasm_v128_store(output, low);
    wasm_v128_store(output + 4, high);
    return;
  }
  float values[OUTPUTS];
  wasm_v128_store(values, low);
  wasm_v128_store(values + 4, high);
  for (int32_t i = 0; i < count; i++) output[i] = values[i];
}

// Sums for `positions` pixels and 8 outputs. Weights of 8 outputs lie side by side, for each number of the kernel.
// int16: a dot product of pairs is one instruction, so the two weights of a pair lie side by side too.
#define SUMS(name, number, step, splat, add)                                                                    \
  static inline __attribute__((always_inline)) void name(                                                       \
      const struct conv *c, const number *weights, const int32_t *offsets, int32_t positions, const v128_t *bias, \
      v128_t sums[][2]) {                                                                                       \
    UNROLL for (int32_t p = 0; p < positions; p++) sums[p][0] = bias[0], sums[p][1] = bias[1];                  \
    for (int32_t row = 0; row < c->kernel_rows; row++) {                                                        \
      const number *input = (const number *)c->input + row * c->row_stride;                                     \
      for (int32_t k = 0; k < c->kernel_row; k += step, weights += OUTPUTS * step) {                            \
        v128_t low = wasm_v128_load(weights), high = wasm_v128_load(weights + OUTPUTS * step / 2);              \
        UNROLL for (int32_t p = 0; p < positions; p++) {                                                        \
          v128_t value = splat(input + offsets[p] + k);                                                         \
          sums[p][0] = add(sums[p][0], value, low);                                                             \
          sums[p][1] = add(sums[p][1], value, high);                                                            \
        }                                                                                                       \
      }                                                                                                         \
    }                                                                                                           \
  }

#define ADD_INTEGERS(sum, value, weights) wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(value, weights))
#define ADD_FLOATS(sum, value, weights) wasm_f32x4_add(sum, wasm_f32x4_mul(value, weights))
SUMS(integer_sums, int16_t, 2, wasm_v128_load32_splat, ADD_INTEGERS)
SUMS(float_sums, float, 1, wasm_v128_load32_splat, ADD_FLOATS)

#define CONVOLUTION(name, number, sums_of, store)                                                               \
  EXPORT(name)(const struct conv *c, int32_t images) {                                                          \
    int32_t pixels = images * c->rows * c->columns, size = c->kernel_rows * c->kernel_row * OUTPUTS;            \
    for (int32_t first = 0; first < c->outputs; first += OUTPUTS) {                                             \
      const number *weights = (const number *)c->weights + first / OUTPUTS * size;                              \
      const int32_t *biases = (const int32_t *)c->bias + first;                                                 \
      const v128_t bias[2] = {wasm_v128_load(biases), wasm_v128_load(biases + 4)};                              \
      int32_t count = c->outputs - first < OUTPUTS ? c->outputs - first : OUTPUTS, done = 0;                    \
      struct place at = {0, 0, 0};                                                                              \
      v128_t sums[POSITIONS][2];                                                                                \
      int32_t offsets[POSITIONS];                                                                               \
      for (; done + POSITIONS <= pixels; done += POSITIONS) {                                                   \
        UNROLL for (int32_t p = 0; p < POSITIONS; p++) offsets[p] = next(&at, c);                               \
        sums_of(c, weights, offsets, POSITIONS, bias, sums);                                                    \
        UNROLL for (int32_t p = 0; p < POSITIONS; p++)                                                          \
          store(sums[p][0], sums[p][1], count, c, (done + p) * c->outputs + first);                             \
      }                                                                                                         \
      for (; done < pixels; done++) {                                                                           \
        offsets[0] = next(&at, c);                                                                              \
        sums_of(c, weights, offsets, 1, bias, sums);                                                            \
        store(sums[0][0], sums[0][1], count, c, done * c->outputs + first);                                     \
      }                                                                                                         \
    }                                                                                                           \
  }

CONVOLUTION(convolve_integers, int16_t, integer_sums, store_integers)
CONVOLUTION(convolve_floats, float, float_sums, store_floats)

// Add zeros around images of `rows` rows with `row` numbers each: `pad_rows` rows above and below, and `pad`
// numbers left and right

#define PADDED(number, copy)                                                                                    \
  int32_t wide = row + 2 * pad;                                                                                 \
  for (int32_t image = 0; image < images; image++) {                                                            \
    __builtin_memset(output, 0, pad_rows * wide * sizeof(number));                                              \
    output += pad_rows * wide;                                                                                  \
    for (int32_t y = 0; y < rows; y++, input += row, output += wide) {                                          \
      __builtin_memset(output, 0, pad * sizeof(number));                                                        \
      copy(input, output + pad);                                                                                \
      __builtin_memset(output + pad + row, 0, pad * sizeof(number));                                            \
    }                                                                                                           \
    __builtin_memset(output, 0, pad_rows * wide * sizeof(number));                                              \
    output += pad_rows * wide;                                                                                  \
  }

#define COPY(from, to) __builtin_memcpy(to, from, row * sizeof(float))
EXPORT(pad_floats)(const float *input, float *output, int32_t images, int32_t rows, int32_t row, int32_t pad_rows,
                   int32_t pad) {
  PADDED(float, COPY)
}

// The same for 8-bit numbers, which become 16-bit numbers less their zero point

static inline void widen_row(const uint8_t *input, int16_t *output, int32_t row, int32_t zero_point,
                             int32_t is_signed) {
  v128_t zero = wasm_i16x8_splat(zero_point);
  int32_t x = 0;
  for (; x + 8 <= row; x += 8) wasm_v128_store(output + x, widened(input + x, is_signed, zero));
  for (; x < row; x++) output[x] = (is_signed ? ((const int8_t *)input)[x] : input[x]) - zero_point;
}

#define WIDEN(from, to) widen_row(from, to, row, zero_point, is_signed)
EXPORT(pad_levels)(const uint8_t *input, int16_t *output, int32_t images, int32_t rows, int32_t row,
                   int32_t pad_rows, int32_t pad, int32_t zero_point, int32_t is_signed) {
  PADDED(int16_t, WIDEN)
}

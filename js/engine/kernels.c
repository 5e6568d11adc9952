// The arithmetic of a bundle's graphs, for WebAssembly with SIMD. build.sh compiles it.
//
// Images have channels last and follow each other without gaps. Nothing here allocates: the caller chooses every
// address. Quantised results are those of onnxruntime: the same float32 operations in the same order, and rounding
// to the nearest integer, halves to even.

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name
#define NOINLINE __attribute__((noinline))  // called once per sum; inlined, it would double the size of the code
#define UNROLL _Pragma("clang loop unroll(full)")  // or sums would lie in memory, not in registers
#define OUTPUTS 8    // a convolution computes this many channels at once,
#define POSITIONS 4  // of this many pixels

// ---- Convolutions and dense layers

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

static inline v128_t widened(const uint8_t *input, int32_t is_signed, v128_t zero_point) {
  v128_t value = is_signed ? wasm_i16x8_load8x8(input) : wasm_u16x8_load8x8(input);
  return wasm_i16x8_sub(value, zero_point);
}

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

// ---- Pooling: the largest of 2x2 pixels

#define POOL(name, number, lanes, maximum, larger)                                                              \
  EXPORT(name)(const number *input, number *output, int32_t images, int32_t rows, int32_t columns,              \
               int32_t channels) {                                                                              \
    int32_t row = columns * channels;                                                                           \
    for (int32_t image = 0; image < images; image++, input += rows * row) {                                     \
      for (int32_t y = 0; y < rows / 2; y++) {                                                                  \
        for (int32_t x = 0; x < columns / 2; x++, output += channels) {                                         \
          const number *upper = input + 2 * y * row + 2 * x * channels, *lower = upper + row;                   \
          int32_t c = 0;                                                                                        \
          for (; c + lanes <= channels; c += lanes) {                                                           \
            v128_t up = maximum(wasm_v128_load(upper + c), wasm_v128_load(upper + c + channels));               \
            v128_t low = maximum(wasm_v128_load(lower + c), wasm_v128_load(lower + c + channels));              \
            wasm_v128_store(output + c, maximum(up, low));                                                      \
          }                                                                                                     \
          for (; c < channels; c++) {                                                                           \
            number up = larger(upper[c], upper[c + channels]), low = larger(lower[c], lower[c + channels]);     \
            output[c] = larger(up, low);                                                                        \
          }                                                                                                     \
        }                                                                                                       \
      }                                                                                                         \
    }                                                                                                           \
  }

#define LARGER(a, b) ((a) < (b) ? (b) : (a))
POOL(pool_floats, float, 4, wasm_f32x4_pmax, LARGER)
POOL(pool_uint8, uint8_t, 16, wasm_u8x16_max, LARGER)
POOL(pool_int8, int8_t, 16, wasm_i8x16_max, LARGER)

// ---- Numbers moved: each run of `run` bytes comes from the offset in `table`

EXPORT(gather)(const uint8_t *input, uint8_t *output, const int32_t *table, int32_t count, int32_t run,
               int32_t images, int32_t stride) {
  for (int32_t image = 0; image < images; image++, input += stride) {
    for (int32_t i = 0; i < count; i++, output += run) {
      const uint8_t *from = input + table[i];
      int32_t at = 0;
      for (; at + 16 <= run; at += 16) wasm_v128_store(output + at, wasm_v128_load(from + at));
      for (; at + 4 <= run; at += 4) __builtin_memcpy(output + at, from + at, 4);
      for (; at < run; at++) output[at] = from[at];
    }
  }
}

// ---- Number by number. Arrays have room for whole vectors of 16 numbers, so there is no remainder.

#define EACH(count) for (int32_t i = 0; i < (count); i += 4)

EXPORT(clip)(float *values, int32_t count, float low, float high) {
  EACH(count) {
    v128_t value = wasm_f32x4_pmax(wasm_v128_load(values + i), wasm_f32x4_splat(low));
    wasm_v128_store(values + i, wasm_f32x4_pmin(value, wasm_f32x4_splat(high)));
  }
}

EXPORT(round_down)(float *values, int32_t count) {
  EACH(count) wasm_v128_store(values + i, wasm_f32x4_floor(wasm_v128_load(values + i)));
}

EXPORT(subtract)(float *values, int32_t count, float other) {
  EACH(count) wasm_v128_store(values + i, wasm_f32x4_sub(wasm_v128_load(values + i), wasm_f32x4_splat(other)));
}

EXPORT(multiply)(float *values, const float *others, int32_t images, int32_t count) {
  for (int32_t image = 0; image < images; image++, values += count) {
    int32_t i = 0;
    for (; i + 4 <= count; i += 4) {
      wasm_v128_store(values + i, wasm_f32x4_mul(wasm_v128_load(values + i), wasm_v128_load(others + i)));
    }
    for (; i < count; i++) values[i] *= others[i];
  }
}

// e^x = 2^n e^r with |r| <= ln(2) / 2. ln(2) is split in two, so that r is exact to float32; e^r is its series.
static inline v128_t exponential(v128_t x) {
  x = wasm_f32x4_pmin(wasm_f32x4_pmax(x, wasm_f32x4_const_splat(-87)), wasm_f32x4_const_splat(88));
  v128_t n = wasm_f32x4_nearest(wasm_f32x4_mul(x, wasm_f32x4_const_splat(1.44269504f)));
  v128_t r = wasm_f32x4_sub(x, wasm_f32x4_mul(n, wasm_f32x4_const_splat(0.693359375f)));
  r = wasm_f32x4_add(r, wasm_f32x4_mul(n, wasm_f32x4_const_splat(2.12194440e-4f)));
  static const float inverse_factorials[] = {1 / 720.f, 1 / 120.f, 1 / 24.f, 1 / 6.f, 0.5f, 1, 1};
  v128_t sum = wasm_f32x4_const_splat(1 / 5040.f);
  for (int32_t i = 0; i < 7; i++) {
    sum = wasm_f32x4_add(wasm_f32x4_mul(sum, r), wasm_f32x4_splat(inverse_factorials[i]));
  }
  v128_t power = wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_const_splat(127));
  return wasm_f32x4_mul(sum, wasm_i32x4_shl(power, 23));
}

EXPORT(sigmoid)(float *values, int32_t count) {
  v128_t one = wasm_f32x4_const_splat(1);
  EACH(count) {
    v128_t power = exponential(wasm_f32x4_neg(wasm_v128_load(values + i)));
    wasm_v128_store(values + i, wasm_f32x4_div(one, wasm_f32x4_add(one, power)));
  }
}

// ---- 8-bit numbers

// Each number replaced by that in a table of 256; input and output may be the same
EXPORT(look_up)(const uint8_t *input, uint8_t *output, int32_t count, const uint8_t *table) {
  for (int32_t i = 0; i < count; i++) output[i] = table[input[i]];
}

EXPORT(look_up_floats)(const uint8_t *input, float *output, int32_t count, const float *table) {
  for (int32_t i = 0; i < count; i++) output[i] = table[input[i]];
}

// Products of levels and constants, both less their zero points: `others` are those constants
EXPORT(multiply_levels)(uint8_t *values, const int16_t *others, int32_t images, int32_t count, int32_t is_signed,
                        int32_t zero_point, float scale, float result_zero_point) {
  v128_t zero = wasm_i16x8_splat(zero_point), ratio = wasm_f32x4_splat(scale);
  v128_t shift = wasm_f32x4_splat(result_zero_point);
  for (int32_t image = 0; image < images; image++, values += count) {
    for (int32_t i = 0; i < count; i += 8) {
      v128_t value = widened(values + i, is_signed, zero), other = wasm_v128_load(others + i);
      v128_t low = wasm_f32x4_convert_i32x4(wasm_i32x4_extmul_low_i16x8(value, other));
      v128_t high = wasm_f32x4_convert_i32x4(wasm_i32x4_extmul_high_i16x8(value, other));
      low = wasm_f32x4_nearest(wasm_f32x4_add(wasm_f32x4_mul(low, ratio), shift));
      high = wasm_f32x4_nearest(wasm_f32x4_add(wasm_f32x4_mul(high, ratio), shift));
      v128_t levels =
          wasm_i16x8_narrow_i32x4(wasm_i32x4_trunc_sat_f32x4(low), wasm_i32x4_trunc_sat_f32x4(high));
      levels = is_signed ? wasm_i8x16_narrow_i16x8(levels, levels) : wasm_u8x16_narrow_i16x8(levels, levels);
      if (i + 8 <= count) {
        wasm_v128_store64_lane(values + i, levels, 0);
      } else {
        uint8_t bytes[16];
        wasm_v128_store(bytes, levels);
        for (int32_t k = 0; i + k < count; k++) values[i + k] = bytes[k];
      }
    }
  }
}

// Levels of float numbers: `count` of them have the same scale and zero point, then the next ones come
EXPORT(quantise)(const float *input, uint8_t *output, int32_t images, int32_t scales, int32_t count,
                 const float *scale, const int32_t *zero_point, float least, float most) {
  for (int32_t image = 0; image < images; image++) {
    for (int32_t s = 0; s < scales; s++) {
      float low = least - zero_point[s], high = most - zero_point[s];
      for (int32_t i = 0; i < count; i++) {
        float value = *input++ / scale[s];
        value = value < low ? low : value < high ? value : high;
        *output++ = (int32_t)__builtin_rintf(value) + zero_point[s];
      }
    }
  }
}

// As a cast does: without the fraction, and of larger numbers the lowest 8 bits
EXPORT(truncate)(const float *input, uint8_t *output, int32_t count) {
  EACH(count) {
    v128_t value = wasm_i32x4_trunc_sat_f32x4(wasm_v128_load(input + i));
    v128_t bytes = wasm_i8x16_shuffle(value, value, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    wasm_v128_store32_lane(output + i, bytes, 0);
  }
}

// ---- Pixels

__attribute__((export_name("are_finite"))) int32_t are_finite(const float *values, int32_t count) {
  int32_t finite = 1;
  for (int32_t i = 0; i < count; i++) finite &= __builtin_fabsf(values[i]) < __builtin_inff();
  return finite;
}

EXPORT(to_levels)(const float *input, uint8_t *output, int32_t count) {
  EACH(count) {
    v128_t value = wasm_f32x4_pmax(wasm_f32x4_const_splat(0), wasm_v128_load(input + i));
    value = wasm_f32x4_mul(wasm_f32x4_pmin(value, wasm_f32x4_const_splat(1)), wasm_f32x4_const_splat(255));
    value = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(value));
    v128_t bytes = wasm_i8x16_shuffle(value, value, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    wasm_v128_store32_lane(output + i, bytes, 0);
  }
}

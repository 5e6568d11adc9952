// Numbers moved, compared, or converted one by one

#include "kernels.h"

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

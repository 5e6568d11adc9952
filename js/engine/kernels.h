// The arithmetic of a bundle's graphs, for WebAssembly with SIMD. build.sh compiles it.
//
// Images have channels last and follow each other without gaps. Nothing here allocates: the caller chooses every
// address. Quantised results are those of onnxruntime: the same float32 operations in the same order, and rounding
// to the nearest integer, halves to even.

#pragma once

#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) void name

// 8 numbers as 16-bit numbers, less their zero point
static inline v128_t widened(const uint8_t *input, int32_t is_signed, v128_t zero_point) {
  v128_t value = is_signed ? wasm_i16x8_load8x8(input) : wasm_u16x8_load8x8(input);
  return wasm_i16x8_sub(value, zero_point);
}

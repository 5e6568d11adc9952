#!/bin/sh
# Compile the kernels to kernels_wasm.js. Needs clang and wasm-ld of LLVM 14 (apt-get install clang lld): another
# version gives other bytes, and the test compares them.
set -eu
cd "$(dirname "$0")"
wasm=$(mktemp)
trap 'rm -f "$wasm"' EXIT
clang --target=wasm32 -Os -msimd128 -mbulk-memory -mnontrapping-fptoint -nostdlib -Wall -Wextra -Werror \
  -Wl,--no-entry -Wl,--export=__heap_base -Wl,--strip-all -Wl,-z,stack-size=8192 -o "$wasm" convolutions.c numbers.c
{
  echo '// Made by build.sh from convolutions.c and numbers.c. Text in a module needs no bundler, no fetch and no MIME'
  echo '// type, so it loads the same way in Node and in browsers.'
  echo '/** @type {string} WebAssembly in base64 */'
  printf 'export const KERNELS =\n  "%s";\n' "$(base64 -w 0 "$wasm")"
} > "${1:-kernels_wasm.js}"

#!/bin/sh
# Compile kernels.c to kernels_wasm.js. Needs clang and wasm-ld of LLVM 14 (apt-get install clang lld): another version
# gives other bytes, and the test compares them.
set -eu
cd "$(dirname "$0")"
wasm=$(mktemp)
trap 'rm -f "$wasm"' EXIT
clang --target=wasm32 -Os -msimd128 -mbulk-memory -mnontrapping-fptoint -nostdlib -Wall -Wextra -Werror \
  -Wl,--no-entry -Wl,--export=__heap_base -Wl,--strip-all -Wl,-z,stack-size=8192 -o "$wasm" kernels.c
{
  echo '// Made by build.sh from kernels.c. Text in a module needs no bundler, no fetch and no MIME type, so it loads the'
  echo '// same way in Node, in browsers and from a file.'
  echo '/** @type {string} WebAssembly in base64 */'
  printf 'export const KERNELS =\n  "%s";\n' "$(base64 -w 0 "$wasm")"
} > "${1:-kernels_wasm.js}"

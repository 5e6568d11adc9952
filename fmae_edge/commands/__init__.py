"""The commands of `fmae-edge`, one file each: parse, call, print."""

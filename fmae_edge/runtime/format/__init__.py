"""The files that a codec writes and reads: .fmae files, and latents in .npy files."""

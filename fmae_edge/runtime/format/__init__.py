"""The files that a codec writes and reads: .fmae, and latents as .npy."""

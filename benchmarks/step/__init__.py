"""Whole GAN steps of the reference workloads: ours, PyTorch's and JAX's, and what each operator takes of ours."""

"""Many inputs through one conversion: sources, destinations, outputs and the pipeline between them."""

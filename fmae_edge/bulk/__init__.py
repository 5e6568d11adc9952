"""Many files through one conversion, as a library: it yields outcomes and prints nothing.

compress.compress_files and decompress.decompress_files do what the commands do. They find the inputs (sources),
decide where results go (outputs), and return a run over them (run), whose steps overlap (pipeline). What is wrong
with one input is in its outcome; the way out is told in the words of the command line.
"""

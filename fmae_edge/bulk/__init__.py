"""Convert many files, as a library: it yields outcomes and prints nothing.

compress.compress_files and decompress.decompress_files do what the commands do. They find the inputs (sources),
decide where results go (outputs), and return a run over them (run), whose steps overlap (pipeline). The outcome of
an input contains its error. Messages name options of the command line, which are arguments of these functions:
--names is `names`.
"""

"""Whole-process benchmarks: the pipeline against others on the same topic, in the same run, on the same machine."""

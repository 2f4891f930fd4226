# expect: refused
# expect-nofilter: output_limit
# output: 64
import warnings

warnings.simplefilter("always")
while True:
    warnings.warn("again " * 200)

# expect: refused
# expect-nofilter: process_limit|refused|other_exception
import multiprocessing

with multiprocessing.Pool(2) as pool:
    print("BREACH", pool.map(abs, [1]))

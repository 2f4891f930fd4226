# expect: memory_limit
# memory: 256
import numpy as np

a = np.ones((60000, 60000))

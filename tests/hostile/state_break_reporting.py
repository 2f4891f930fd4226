# expect: refused
# expect-nofilter: other_exception|crash
import json
import sys

json.dumps = None
json.loads = None
for name in list(sys.modules):
    sys.modules[name] = None
raise ValueError("after everything is gone")

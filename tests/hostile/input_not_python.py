# expect: syntax
# contains: line 3
Sure! Here is the CadQuery program you asked for.

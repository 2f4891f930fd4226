# expect: value|other_exception|kernel_error|refused
# expect-nofilter: value|other_exception|kernel_error|refused
import cadquery as cq

fixture = cq.importers.importStep("/etc/passwd")

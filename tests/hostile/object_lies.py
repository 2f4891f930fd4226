# expect: not_a_shape|attribute|type|other_exception
class Lies:
    wrapped = 5

    def toCompound(self):
        return self

    def val(self):
        return self

    def __iter__(self):
        return iter([self])


fixture = Lies()

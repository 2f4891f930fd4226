/*
 * NCollection_AliasedArray.hxx - stands in for a header that Debian ships in the wrong package.
 *
 * Debian 12's BRep_Tool.hxx (libocct-modeling-data-dev) includes it through Poly_Triangulation.hxx,
 * but the file itself lies in libocct-visualization-dev, which pulls in Mesa and X11. This one is
 * searched last (-idirafter), so the real one wins where it is installed.
 *
 * It declares what the Poly_ headers name, with the member order and sizes that the library was
 * built with, and defines nothing: engine/shape.cc takes nodes and triangles through
 * Poly_Triangulation's exported MapNodeArray() and MapTriangleArray(). Using another inline
 * accessor of these arrays fails to link instead of misbehaving.
 */
#ifndef CADFORGE_NCOLLECTION_ALIASEDARRAY_HXX
#define CADFORGE_NCOLLECTION_ALIASEDARRAY_HXX

#include <Standard_ProgramError.hxx>
#include <Standard_TypeDef.hxx>

#include <utility>

template <int Align = 16>
class NCollection_AliasedArray
{
      public:
	NCollection_AliasedArray(Standard_Integer stride);
	NCollection_AliasedArray(Standard_Integer stride, Standard_Integer length);
	template <typename Element>
	NCollection_AliasedArray(const Element &first, Standard_Integer length);
	NCollection_AliasedArray(NCollection_AliasedArray &&other);
	~NCollection_AliasedArray();

	NCollection_AliasedArray &Move(NCollection_AliasedArray &other);
	Standard_Integer Length() const;
	Standard_Integer Size() const;
	bool IsEmpty() const;
	template <typename Element> const Element &Value(Standard_Integer i) const;
	template <typename Element> Element &ChangeValue(Standard_Integer i);

      protected:
	Standard_Byte *myData;
	Standard_Integer myStride;
	Standard_Integer mySize;
	Standard_Boolean myDeletable;
};

#endif

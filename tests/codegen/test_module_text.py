"""What the text of a module tells LLVM of its functions."""

from pullback.codegen.llvm import VOID, Module


def test_what_is_called_at_one_place_is_inlined_before_it_is_simplified() -> None:
    module = Module("", "", "nounwind")
    for name in ("once", "twice", "never"):
        module.function(name, VOID, []).ret()
    module.function("apart", VOID, [], attrs="noinline").ret()
    fn = module.function("caller", VOID, [], linkage="")
    for name in ("once", "twice", "twice", "apart"):
        fn.call(name, VOID, [])
    fn.ret()
    heads = [x for x in module.text().split("\n") if x.startswith("define")]
    assert heads == [
        "define internal void @once() alwaysinline #0 {",
        "define internal void @twice()  #0 {",
        "define internal void @never()  #0 {",
        "define internal void @apart() noinline #0 {",
        "define  void @caller()  #0 {",
    ]

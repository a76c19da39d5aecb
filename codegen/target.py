"""Describe the machine code is emitted for, and turn LLVM IR into an object.

One short pass pipeline serves every kernel: the loops are emitted as vectors already,
so nothing is left for LLVM to rediscover. This file and `runtime/loading.py` are the
only ones that talk to llvmlite.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from .llvm import Module

# The level of programs that are wanted soon: they are translated as they are, but for
# what the sizes that callers pass decide. Compiling takes a fifth to an eighth of the
# time, running up to four times as long; the bits are the same.
QUICK = -1


@dataclass(frozen=True, slots=True)
class Target:
    """A machine: LLVM triple, CPU, features, and the width of its vectors in bits."""

    triple: str
    cpu: str
    features: str
    layout: str
    vector_bits: int
    has_masks: bool

    def lanes(self, bits: int) -> int:
        """Return how many elements of `bits` bits one vector register holds."""
        return max(self.vector_bits // bits, 1)

    def attributes(self) -> str:
        """Return the attributes every emitted function carries."""
        return (
            '"no-builtins" nounwind "frame-pointer"="none" '
            f'"prefer-vector-width"="{self.vector_bits}"'
        )

    def module(self) -> Module:
        """Return an empty module for this target."""
        return Module(self.triple, self.layout, self.attributes())


@cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def _initialize_native() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _vector_bits(triple: str, features: frozenset[str]) -> int:
    if triple.startswith("x86_64"):
        if {"avx512f", "avx512vl", "avx512dq", "avx512bw"} <= features:
            return 512
        return 256 if "avx2" in features else 128
    return 128


@cache
def host() -> Target:
    """Return the target for the running machine, from its feature list.

    The CPU's name is used for instruction scheduling alone; what may be executed
    follows from the features.
    """
    _initialize_native()
    triple = llvm.get_process_triple()
    found = llvm.get_host_cpu_features()
    features = frozenset(name for name, on in found.items() if on)
    flat = found.flatten()
    cpu = llvm.get_host_cpu_name()
    layout = _layout(triple, cpu, flat)
    bits = _vector_bits(triple, features)
    return Target(triple, cpu, flat, layout, bits, bits == 512)


def _layout(triple: str, cpu: str, features: str) -> str:
    machine = _machine_for(triple, cpu, features)
    return str(machine.target_data)


@cache
def _machine_for(triple: str, cpu: str, features: str, effort: int = 2) -> Any:
    # Any: llvmlite has no type information.
    _initialize_native()
    if triple != llvm.get_process_triple():
        _initialize()
    # Position-independent and code model small: no global offset table, and the
    # object can be linked or mapped anywhere.
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=effort, reloc="pic", codemodel="small"
    )


def machine(target: Target) -> Any:
    """Return llvmlite's target machine, created once a target."""
    return _machine_for(target.triple, target.cpu, target.features)


def optimize(text: str, target: Target, level: int = 1) -> Any:
    """Parse and verify LLVM IR and run the pass pipeline; returns an llvmlite module.

    `level` 0 runs no pass at all; the vectorizers of LLVM are always off.
    """
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    if level == QUICK:
        tuning = llvm.create_pipeline_tuning_options(speed_level=0)
        builder = llvm.create_pass_builder(machine(target), tuning)
        passes = llvm.create_new_module_pass_manager()
        passes.add_ipsccp_pass()
        passes.add_simplify_cfg_pass()
        passes.run(parsed, builder)
    elif level:
        tuning = llvm.create_pipeline_tuning_options(speed_level=level)
        tuning.loop_vectorization = False
        tuning.slp_vectorization = False
        tuning.loop_unrolling = False
        tuning.loop_interleaving = False
        builder = llvm.create_pass_builder(machine(target), tuning)
        builder.getModulePassManager().run(parsed, builder)
    return parsed


def write_object(module: Any, target: Target, level: int = 1) -> bytes:
    """Translate what `optimize` returned for a level to a relocatable object."""
    effort = 0 if level == QUICK else 2
    writer = _machine_for(target.triple, target.cpu, target.features, effort)
    return bytes(writer.emit_object(module))


def emit_object(text: str, target: Target, level: int = 1) -> bytes:
    """Compile LLVM IR to a relocatable object of the target's format."""
    return write_object(optimize(text, target, level), target, level)


def emit_object_quickly(text: str, target: Target) -> bytes:
    """Compile LLVM IR without optimising anything, in a quarter of the time.

    For glue that calls others: code without loops gains nothing from more.
    """
    return write_object(optimize(text, target, 0), target, QUICK)


def emit_assembly(text: str, target: Target, level: int = 1) -> str:
    """Compile LLVM IR to assembler text, for reading."""
    return str(machine(target).emit_assembly(optimize(text, target, level)))

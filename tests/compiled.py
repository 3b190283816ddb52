"""What a program compiled by XLA takes as it runs."""

import re


def parameters(program, *inputs):
    """Types and shapes that the compiled program takes; what it knows as it is compiled is none."""
    text = program.experimental_get_compiler_ir(*inputs)(stage="hlo")
    layout = re.search(r"entry_computation_layout={\((.*?)\)->", text)[1]
    return re.findall(r"[a-z]+[0-9]*\[[0-9,]*\]", layout)

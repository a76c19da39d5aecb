"""NumPy's functions that have no traced form on purpose, and why.

What is here is a decision; what NumPy has and is neither here nor in the table of
functions has not been written.
"""

from collections.abc import Mapping

_BY_REASON: Mapping[str, str] = {
    "the shape of its result depends on values: use np.where and reduce": """
        argwhere extract flatnonzero intersect1d nonzero setdiff1d setxor1d trim_zeros
        union1d unique unique_all unique_counts unique_inverse unique_values
    """,
    "it writes into an array, and traced values are never written to: "
    "use x.at[index].set(v)": """
        copyto fill_diagonal place put put_along_axis putmask
    """,
    "it calls a Python function for each element: write it with array functions": """
        apply_along_axis apply_over_axes frompyfunc fromfunction piecewise
    """,
    "it reads or writes files": """
        fromfile fromregex genfromtxt load loadtxt save savetxt savez savez_compressed
    """,
    "it makes text of values, and traced arrays have none": """
        array2string array_repr array_str base_repr binary_repr datetime_as_string
        format_float_positional format_float_scientific
    """,
    "it makes an array of no array: call it outside, its result is a constant": """
        bartlett blackman fromiter frombuffer from_dlpack fromstring hamming hanning
        kaiser bmat
    """,
    "it makes integers of numbers: call it with numbers, its result is a constant": """
        broadcast_shapes diag_indices diag_indices_from ix_ mask_indices
        ravel_multi_index tril_indices tril_indices_from triu_indices
        triu_indices_from unravel_index
    """,
    "it is about dtypes, and needs no trace: call it with dtypes": """
        can_cast common_type isdtype issubdtype min_scalar_type mintypecode
        promote_types result_type typename
    """,
    "the dtype of its result depends on values: use .real": """
        real_if_close
    """,
    "complex numbers have no order here": """
        sort_complex
    """,
    "there are no dates here": """
        busday_count busday_offset datetime_data is_busday isnat
    """,
    "it is about how an array lies in memory, and traced arrays lie nowhere": """
        asarray_chkfinite ascontiguousarray asfortranarray asmatrix isfortran
        may_share_memory require shares_memory
    """,
    "it sets or tells how NumPy behaves": """
        get_include get_printoptions getbufsize geterr geterrcall info printoptions
        set_printoptions setbufsize seterr seterrcall show_config show_runtime test
    """,
    "it asks about a Python object, not about values": """
        isscalar iterable
    """,
}

REFUSED: Mapping[str, str] = {
    name: reason for reason, names in _BY_REASON.items() for name in names.split()
}

"""What the tape has to do, and which test holds it to that; or why it does not.

Each row: the behaviour, then the test, or a reason that begins with "not:".
"""

CELLS = 32  # of the guide, all run by test_every_cell_of_the_guide

RULES: dict[int, tuple[str, str]] = {
    1: ("records what has a float operand on it", "test_integers_block_paths"),
    2: ("watching keeps history", "test_identities_are_values_of_their_own"),
    3: ("a target that is a source", "test_a_source_never_watched_that_is_the_target"),
    4: ("cotangents of targets", "test_no_output_gradient_for_one_target_means_ones"),
    5: ("sources are no cuts", "test_sources_are_no_cuts"),
    6: ("results without a cotangent", "test_one_output_of_several_is_enough"),
    7: (
        "what is not asked for is not computed",
        "test_what_no_handle_names_is_not_kept",
    ),
    8: ("None, or zeros", "test_zeros_for_what_is_not_connected"),
    9: ("used once", "test_a_tape_is_used_once"),
    10: ("gradients inside the context", "test_gradient_inside_the_context"),
    11: ("no target, no sources", "test_no_target"),
    12: ("structures", "test_structures_of_every_kind"),
    13: ("what may be watched", "test_integers_that_are_watched_are_told_five_times"),
    14: ("reads keep their value", "test_reads_keep_the_value_they_saw"),
    15: ("assigning is no path", "test_assigning_is_no_path"),
    16: ("watched variables", "test_watched_variables_grow_and_reset_clears_them"),
    17: ("misuse of contexts", "test_an_active_tape_is_not_entered_again"),
    18: ("gathered rows", "test_gathered_rows_have_a_sparse_gradient"),
    19: ("arguments count on their own", "test_one_object_for_two_arguments"),
    20: ("identity is the key", "test_tensors_and_variables_have_no_hash"),
    21: ("gradients of the user's own", "test_one_gradient_for_each_argument"),
    22: ("how tensors print", "test_how_tensors_print"),
    23: (
        "complex values",
        "test_a_complex_target_gives_the_conjugate_of_the_derivative",
    ),
    24: ("broadcasting", "test_broadcast_operands_have_their_own_shapes"),
    25: ("op types without a gradient", "test_a_gradient_that_nobody_registered"),
}

# Behaviours that any library of arrays can have.
PORTABLE: dict[str, str] = {
    "several gathers of one table": "test_several_gathers_add_up_to_the_dense_truth",
    "a gather beside a dense use": "test_a_gather_beside_a_dense_use_is_dense",
    "variables found by being read": (
        "test_variables_that_are_read_are_found_in_order_of_making"
    ),
    "identities make new values": "test_identities_are_values_of_their_own",
    "the same, recorded": "test_products_and_sums_are_sources_inside",
    "where": "test_where_passes_each_side",
    "two targets": "test_two_targets_add_up",
    "a rule that returns nothing for an argument": (
        "test_one_gradient_for_each_argument"
    ),
    "output gradients and a target that is a source": (
        "test_output_gradients_weigh_targets_and_a_target_that_is_a_source"
    ),
    "a cotangent as a factor": "test_a_cotangent_is_a_factor",
    "integers have none": "test_integers_block_paths",
    "errors in a rule": "test_errors_in_a_rule_reach_the_user",
    "gradients inside a rule's forward": "test_gradients_inside_a_forward_pass",
    "variables in order of construction": (
        "test_variables_that_are_read_are_found_in_order_of_making"
    ),
    "the same object is the same tensor": "test_targets_that_are_sources",
    "an identity op": "test_identities_are_values_of_their_own",
    "gathers after a recorded function": "test_a_gather_in_a_recorded_function",
    "several targets, one a source": "test_targets_that_are_sources",
    "several targets, all sources": "test_targets_that_are_sources",
    "several targets and sources": "test_targets_that_are_sources",
    "reading a variable": "test_reading_a_variable_is_an_identity",
    "a matrix by itself": "test_a_matrix_with_respect_to_itself",
    "a matrix by itself, twice": "test_a_matrix_with_respect_to_itself",
    "recording stops": "test_stop_recording_leaves_out_what_is_inside",
    "recording goes on": "test_recording_goes_on_after_it_was_stopped",
    "reset": "test_after_reset_later_ops_alone_count",
    "Python's max": "test_python_max_over_variables",
    "variables watched by themselves": (
        "test_watched_variables_grow_and_reset_clears_them"
    ),
    "variables watched by hand": "test_untrained_variables_may_be_watched",
    "one result of several": "test_one_output_of_several_is_enough",
    "a gradient within the block": "test_gradient_inside_the_context",
    "an active tape entered again": "test_an_active_tape_is_not_entered_again",
    "second derivatives of cross-entropy": (
        "test_second_derivative_of_cross_entropy_with_itself"
    ),
    "watching belongs to a tape": "test_watching_belongs_to_a_tape",
    "a pullback": "test_a_pullback_may_be_called_again",
    "a pullback, called twice": "test_a_pullback_may_be_called_again",
    "a gradient of a gradient": "test_the_gradient_of_a_gradient_of_exp",
    "the same of exp": "test_the_gradient_of_a_gradient_of_exp",
    "stopped gradients": "test_stop_gradient_blocks_a_path",
    "argmax": "test_choosing_the_largest_has_no_gradient",
    "a chain of sums": "test_a_chain_of_sums",
    "all arguments by default": "test_functions_with_any_arguments",
    "None where nothing leads": "test_unrelated_variables_have_no_gradient",
    "leaving and entering again": "test_reentering_appends",
    "a source twice": "test_a_source_named_twice_has_the_full_gradient_twice",
    "a source twice, persistent": (
        "test_a_source_named_twice_has_the_full_gradient_twice"
    ),
    "structures of sources": "test_results_have_the_structure_of_the_sources",
    "a tape in a tape": "test_a_gradient_of_a_gradient_does_not_see_the_outer_variable",
    "a constant target": "test_unrelated_variables_have_no_gradient",
    "cond": "test_cond_and_while_loop_under_a_tape",
    "while_loop": "test_cond_and_while_loop_under_a_tape",
    "a second gradient": "test_a_tape_is_used_once",
    "a persistent tape": "test_three_orders_on_one_persistent_tape",
    "orders on one tape": "test_three_orders_on_one_persistent_tape",
    "persistent tapes nest": "test_persistent_tapes_nest",
    "a variable": "test_reading_a_variable_is_an_identity",
    "totals and intermediate values": "test_sources_are_no_cuts",
    "unconnected by default": "test_zeros_for_what_is_not_connected",
    "unconnected as zeros": "test_zeros_for_what_is_not_connected",
    "unconnected variables as zeros": "test_zeros_for_what_is_not_connected",
    "unconnected as nonsense": "test_unconnected_gradients_are_none_or_zero",
    "stopped in nested functions": "test_functions_inside_functions",
    "values and gradients of variables": (
        "test_variables_that_are_read_are_found_in_order_of_making"
    ),
    "values and gradients of arguments": "test_steps_down_a_slope",
    "a product with itself": "test_gradient_inside_the_context",
    "any number of arguments": "test_functions_with_any_arguments",
    "partial functions": "test_functions_with_any_arguments",
    "a result that is an argument": "test_a_function_that_returns_its_argument",
    "an exception": "test_an_exception_leaves_no_tape_behind",
    "packing tensors": "test_packing_tensors",
    "two outputs": "test_a_function_that_returns_its_argument",
    "one argument of two": "test_functions_with_any_arguments",
    "one object for two arguments": "test_one_object_for_two_arguments",
    "a rule about a variable's value": "test_it_may_read_variables",
    "steps down a slope": "test_steps_down_a_slope",
    "a rule for an identity": "test_the_gradient_of_a_function_that_has_its_own",
    "a function that returns nothing": "test_a_function_that_returns_nothing",
    "a part without a cotangent": "test_one_output_of_several_is_enough",
    "watching what is chosen": "test_only_the_last_of_two_tapes_lists_its_variables",
    "equal constants": "test_equal_constants_are_distinct_sources",
    "constants and variables": "test_constants_and_variables_have_the_same_gradients",
    "a rule, eager and recorded": "test_it_holds_in_a_recorded_function_too",
    "a rule for the second order": "test_second_order_follows_the_rule",
    "the gradient of a cotangent": "test_a_function_of_its_cotangent",
    "watching an array": "test_what_cannot_be_watched",
    "variables after the gradient": (
        "test_watched_variables_answer_after_the_tape_is_used"
    ),
    "variables of the last tape": "test_only_the_last_of_two_tapes_lists_its_variables",
    "variables after reset": "test_watched_variables_grow_and_reset_clears_them",
    "Jacobians, together": "test_jacobians_of_several_sources",
    "Jacobians, one by one": "test_jacobians_of_several_sources",
    "Jacobians of recorded functions": "test_jacobians_of_several_sources",
    "Jacobians of recorded functions, one by one": "test_jacobians_of_several_sources",
    "Jacobians that need a persistent tape": (
        "test_one_at_a_time_needs_a_persistent_tape"
    ),
    "Jacobians in parallel": "test_the_jacobian_of_a_layer",
    "Jacobians of Jacobians": "test_a_jacobian_of_a_jacobian",
    "Jacobians of gathers": "test_a_jacobian_of_gathered_rows_is_dense",
    "batches, together": "test_rows_of_a_batch",
    "batches, one by one": "test_batches_that_are_odd",
    "batches of recorded functions": "test_batches_of_recorded_functions",
    "batches of recorded functions, one by one": "test_batches_of_recorded_functions",
    "batches that need a persistent tape": "test_one_at_a_time_needs_a_persistent_tape",
    "batches of other sizes": "test_batches_that_do_not_fit",
    "batches of a source without rows": "test_batches_that_do_not_fit",
    "batches of a target without rows": "test_batches_that_do_not_fit",
    "batches in parallel": "test_rows_of_a_batch",
    "batches of nothing": "test_batches_that_are_odd",
}

# Behaviours that need another form here.
ADAPTED: dict[str, str] = {
    "a tape inside a loop": "test_a_tape_inside_a_loop",
    "an optimizer takes sparse gradients": "test_an_embedding_and_a_dropout",
    "strings, three ways": "not: there are no tensors of strings",
    "a rule that returns too little": "test_registered_rules_that_return_too_little",
    "a Jacobian inside a rule": "test_a_jacobian_inside_a_rule",
    "sizes that are not known": "test_a_signature_of_any_size",
    "pooling in three dimensions": "not: there is no pooling",
    "watching sparse tensors": "not: the only sparse tensors are gradients",
    "names of adjoint ops": "not: ops have the user's line instead of names",
    "computing again": "test_computing_again_has_the_same_gradient",
    "sparse gradients of nothing": "test_rows_of_gradients_of_nothing",
    "one sparse gradient": "test_gathered_rows_have_a_sparse_gradient",
    "several sparse gradients": "test_several_gathers_add_up_to_the_dense_truth",
    "sparse gradients and none": "test_several_gathers_add_up_to_the_dense_truth",
    "sparse and dense": "test_a_gather_beside_a_dense_use_is_dense",
}

//! The ops by name: `tests_of_every_op!(check)` makes a test of each, and one that none is missing.

macro_rules! tests_of_every_op {
    ($check:path) => {
        tests_of_every_op!(
            $check =>
            conv2d,
            linear,
            matmul,
            batch_norm,
            normalized_batch_norm,
            relu,
            abs,
            digamma_rest,
            exp,
            gelu,
            log,
            neg,
            reciprocal,
            sigmoid,
            softplus,
            sqrt,
            square,
            stirling_rest,
            tanh,
            add,
            sub,
            mul,
            div,
            maximum,
            max_pool2d,
            avg_pool2d,
            global_avg_pool,
            softmax,
            log_softmax,
            cross_entropy,
            sum,
            mean,
            reshape,
            rows,
            shortcut_a,
        );
    };
    ($check:path => $($op:ident),* $(,)?) => {
        $(#[test] fn $op() { $check(stringify!($op)); })*

        #[test]
        fn every_op_of_the_reference_is_listed_here() {
            let here = [$(stringify!($op)),*];
            for op in evenkeel::check::reference::OPS {
                assert!(here.contains(&op.name), "{} has no test", op.name);
            }
        }
    };
}

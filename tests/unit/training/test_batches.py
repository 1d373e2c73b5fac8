"""A step has as many examples as the config says, however many processes share them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skutune.config import FinetuneConfig
from skutune.errors import InputError
from skutune.training.batches import micro_batches


@given(st.integers(1, 16), st.integers(1, 32), st.integers(1, 32))
def test_all_processes_together_train_batch_size_examples_a_step(processes, share, micro):
    config = FinetuneConfig(batch_size=processes * share, micro_batch_size=micro)
    if processes == 1 and share % min(micro, share):
        with pytest.raises(InputError, match="no multiple of micro_batch_size"):
            micro_batches(config, processes)
        return
    size, passes = micro_batches(config, processes)
    assert size * passes * processes == config.batch_size
    assert size <= micro


def test_a_batch_that_cannot_be_shared_out_names_one_that_can():
    with pytest.raises(InputError, match="12 is no multiple of the 8 processes that train; choose 16"):
        micro_batches(FinetuneConfig(batch_size=12), 8)

"""A codec in the workers of a DataLoader: apart from other tests of processes, PyTorch takes long to import."""

from torch.utils.data import DataLoader, Dataset

from fmae_edge import Codec

CODEC = Codec()


class Files(Dataset):
    """Images as .fmae files, made by the workers with a codec of the main process."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, at):
        return CODEC.compress(self.images[at])


def test_workers_of_a_data_loader(images):
    expected = [CODEC.compress(image) for image in images[:8]]
    loader = DataLoader(Files(images[:8]), batch_size=4, num_workers=2, collate_fn=list)
    assert [content for batch in loader for content in batch] == expected

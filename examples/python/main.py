"""A model in a program of your own: load it, look at its logits, continue a prompt.

python examples/python/main.py MODEL_FOLDER "a prompt"
"""

import sys
from pathlib import Path

from nn import MoETransformer
from nn.cuda.open import open_backend
from nn.model.generate import GREEDY, generate
from nn.tokenizer import Tokenizer


def main(folder: str = "demo/model", prompt: str = "import ") -> None:
    tokenizer = Tokenizer.load(Path(folder) / "tokenizer.json")
    with open_backend("auto") as backend:
        model = MoETransformer.load(folder, backend)

        ids = [int(id) for id in tokenizer.encode(prompt)]
        logits = model.forward_ids(ids, 1, len(ids))
        print(f"logits {list(logits.shape)} on {backend.name}")

        (made,) = generate(model, [ids], 32, GREEDY)
        print(prompt + tokenizer.decode(made))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The network behind FastAPI without batching, as most would write it: `python fastapi_server.py BUNDLE PORT`.

An endpoint that is a plain function runs in FastAPI's pool of threads, each photo by itself; one process.
"""

import sys

import uvicorn
from fastapi import FastAPI
from network import Network
from pydantic import BaseModel


class Asked(BaseModel):
    photo: str


app = FastAPI()


@app.post("/predict")
def predict(asked: Asked) -> dict[str, list[float]]:
    return {"probs": network.probs([asked.photo])[0]}


if __name__ == "__main__":
    network = Network(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")

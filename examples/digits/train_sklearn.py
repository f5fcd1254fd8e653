"""Which digit is it? A linear model of scikit-learn, trained by stochastic gradient descent at one site of a swarm.

    DATA=shares/share1.npz OUT=out/1 MIN_PEERS=4 python train_sklearn.py

The trainer calls ``partial_fit`` and the swarm. With SWARM_LOOPBACK=true the same program trains alone.
"""

from __future__ import annotations

from digits import CLASSES, Settings, batch_size, finish, load
from sklearn.linear_model import SGDClassifier
from swarmlearning.sklearn import SwarmCallback, SwarmSklearnTrainer


def main() -> None:
    settings = Settings.read()
    data = load(settings.data)
    x, x_test = data.x.reshape(len(data.x), -1), data.x_test.reshape(len(data.x_test), -1)

    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.05, random_state=settings.seed)
    swarm = SwarmCallback(
        syncFrequency=settings.sync_frequency,
        minPeers=settings.min_peers,
        totalEpochs=settings.epochs,
        model=model,
        # The parameters exist once a few samples were seen; all sites name the digits that any of them may have.
        initData=(x[:1], data.y[:1]),
        classes=CLASSES,
        # What this site reports of each merged model: its loss and accuracy on the site's own pictures.
        adsValData=(x, data.y),
        metricFunction="accuracy_score",
    )
    trainer = SwarmSklearnTrainer(swarmCallback=swarm, model=model)
    trainer.fit(
        x,
        data.y,
        batch_size=batch_size(len(x)),
        epochs=settings.epochs,
        classes=CLASSES,
        random_state=settings.seed,
    )
    finish(settings, model.decision_function(x_test), data.y_test, swarm, platform="numpy")


if __name__ == "__main__":
    main()

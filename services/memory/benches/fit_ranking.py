"""Fits the weights of `src/knowledge/ranking.rs` to what `locomo.rs --signals FILE` wrote.

    python3 -m pip install numpy
    python3 services/memory/benches/fit_ranking.py FILE

For each question the candidates' scores, a weighted sum of their signals, go through a softmax,
whose cross-entropy with the turns that answer the question is least (ListNet: Cao et al., ICML
2007), plus PENALTY times half the squared weights. That is convex: Newton's steps find the one
minimum. Prints the weights, and recall@10 for each conversation with weights fitted to the others
only: what to expect on conversations nobody has seen.
"""

import json
import sys

import numpy as np

PENALTY = 1e-3
# Set by hand (see ranking.rs): the dialogues say nothing of the last four, and their turns always
# stand beside others, which leaves nothing for an item's own words.
BY_HAND = {"words": 1.0, "link": 1.0, "recency": 0.3, "importance": 0.3, "found": 0.3}


def read(path):
    asked = json.load(open(path))
    names = [n for n in ORDER if n not in BY_HAND]
    for one in asked:
        one["x"] = np.array([[r["signals"][n] for n in names] for r in one["results"]])
        one["relevant"] = np.array([r["relevant"] for r in one["results"]], float)
        by_hand = [sum(w * r["signals"][n] for n, w in BY_HAND.items()) for r in one["results"]]
        one["offset"] = np.array(by_hand)
    return names, asked


ORDER = [
    "words", "words_before", "words_around", "meaning", "meaning_around", "meaning_session",
    "actor", "length", "tells_when", "time", "question", "link", "recency", "importance",
    "found",
]


def fit(asked):
    asked = [one for one in asked if one["relevant"].any()]
    weights = np.zeros(asked[0]["x"].shape[1])
    for _ in range(50):
        gradient = PENALTY * weights
        curvature = PENALTY * np.eye(len(weights))
        for one in asked:
            x, target = one["x"], one["relevant"] / one["relevant"].sum()
            score = x @ weights + one["offset"]
            p = np.exp(score - score.max())
            p /= p.sum()
            gradient = gradient + x.T @ (p - target) / len(asked)
            mean = p @ x
            curvature = curvature + (x.T * p @ x - np.outer(mean, mean)) / len(asked)
        step = np.linalg.solve(curvature, gradient)
        # Far from the minimum a whole step may go too far.
        weights = weights - step * min(1.0, 5.0 / np.abs(step).max())
        if np.abs(step).max() < 1e-6:
            break
    return weights


def recall(asked, weights, depth=10):
    def of(one):
        best = np.argsort(-(one["x"] @ weights + one["offset"]), kind="stable")[:depth]
        return one["relevant"][best].sum() / one["evidence"]

    return [of(one) for one in asked]


def main():
    names, asked = read(sys.argv[1])
    conversations = sorted({one["conversation"] for one in asked})
    unseen = []
    for conversation in conversations:
        others = [one for one in asked if one["conversation"] != conversation]
        own = [one for one in asked if one["conversation"] == conversation]
        found = recall(own, fit(others))
        unseen += found
        print(f"recall@10 of {conversation}, fitted to the others: {np.mean(found):.3f}")
    print(f"recall@10 of all, each fitted to the others: {np.mean(unseen):.3f}")
    weights = fit(asked)
    print(f"recall@10 of all, fitted to all: {np.mean(recall(asked, weights)):.3f}")
    for name, weight in zip(names, weights):
        print(f"{name:<16} {weight:6.2f}")


main()

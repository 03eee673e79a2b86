"""What the workers of a stage wrote down: each message acknowledged once, and only once.

A worker writes what it is about to do, then what it was answered. After a kill the last answer may
be missing: then the transaction was carried out, or it was not, and whoever did the messages next
tells which. What came out of the last stage shows that no such transaction counted twice.
"""

import json
from collections import Counter


class Records:
    def __init__(self, stage):
        self.stage = stage
        self.acknowledged, self.unsure = Counter(), Counter()
        self.short = []
        """Transactions that did not acknowledge and delete all that they were about."""

    @classmethod
    def of(cls, stage, folder):
        records = cls(stage)
        for path in folder.glob(f"{stage}.*"):
            records.take(path)
        return records

    def take(self, path):
        about = None
        for line in path.read_text().splitlines():
            said = json.loads(line)
            if "about" in said:
                about = said["about"]
            else:
                if not said["acknowledged"] == said["deleted"] == len(about):
                    self.short.append((path.name, len(about), said))
                self.acknowledged.update(about)
                about = None
        if about is not None:
            self.unsure.update(about)

    def faults(self, every):
        """What is wrong, one line each."""
        twice = [number for number, times in self.acknowledged.items() if times > 1]
        never = [one for one in every if one not in self.acknowledged and one not in self.unsure]
        unknown = [number for number in self.acknowledged if number not in every]
        for what, found in (
            ("acknowledged twice", twice),
            ("never acknowledged", never),
            ("acknowledged and never sent", unknown),
            ("acknowledged or deleted by somebody else meanwhile", self.short),
        ):
            if found:
                yield f"stage {self.stage}: {len(found)} {what}, for example {found[:5]}"

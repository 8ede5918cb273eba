"""What the job should write, worked out the plain way: expected.py > expected.jsonl

No stream, no state, no clock: all purchases of a customer at once. Shares nothing with the operators.
"""

import csv
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

LAPSE = timedelta(days=180)
WINDOW_DAYS = 30
FIRST_WINDOW = date(1997, 1, 1)

customers = defaultdict(list)
windows = defaultdict(lambda: [0, 0, Decimal(0)])
with open(Path(__file__).with_name("purchases.csv"), newline="") as file:
    for row in csv.DictReader(file):
        day = date.fromisoformat(row["ordered_at"][:10])
        purchase = (day, int(row["number_of_cds"]), Decimal(row["dollar_value"]))
        customers[row["customer_id"]].append(purchase)
        window = windows[(day - FIRST_WINDOW).days // WINDOW_DAYS]
        window[0] += 1
        window[1] += purchase[1]
        window[2] += purchase[2]

lines = []
for customer, purchases in customers.items():
    purchases.sort(key=lambda purchase: purchase[0])
    for number, (day, _, _) in enumerate(purchases, 1):
        following = purchases[number][0] if number < len(purchases) else None
        if following is not None and following <= day + LAPSE:
            continue
        cds = sum(purchase[1] for purchase in purchases[:number])
        spent = sum(purchase[2] for purchase in purchases[:number])
        lines.append(
            f'{{"customer":"{customer}","last_order":"{day}","orders":{number},"cds":{cds},"spent":"{spent:.2f}"}}'
        )
        if following is not None:
            lines.append(f'{{"customer":"{customer}","returned":"{following}","away_days":{(following - day).days}}}')
for index, (purchases, cds, spent) in windows.items():
    start = FIRST_WINDOW + timedelta(days=WINDOW_DAYS * index)
    end = start + timedelta(days=WINDOW_DAYS)
    lines.append(f'{{"from":"{start}","until":"{end}","orders":{purchases},"cds":{cds},"spent":"{spent:.2f}"}}')
print("\n".join(sorted(lines)))

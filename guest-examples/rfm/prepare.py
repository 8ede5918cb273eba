"""Makes purchases.csv of the CDNOW data set: prepare.py < cdnow.txt > purchases.csv

The data set (published by Peter Fader and Bruce Hardie) holds all purchases up to June 1998 of the 23,570 customers who
first bought CDs at CDNOW in the first quarter of 1997: per line customer, date, number of CDs, dollars. Here they are
in order of date, as a shop would see them, with dates in RFC 3339.
"""

import sys

purchases = [line.split() for line in sys.stdin]
if not purchases[0][0].isdigit():
    purchases.pop(0)
purchases.sort(key=lambda purchase: (purchase[1], purchase[0]))
print("customer_id,ordered_at,number_of_cds,dollar_value")
for customer, date, cds, dollars in purchases:
    print(f"{customer},{date[:4]}-{date[4:6]}-{date[6:]}T00:00:00Z,{cds},{dollars}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Squares numbers in a pool of processes and adds them up in threads: pool.py COUNT

Each item that is done is a line in `progress`; the sum is in `result`.
"""
import json
import multiprocessing
import queue
import sys
import threading
import time


def square(n):
    end = time.monotonic() + 0.005
    while time.monotonic() < end:
        pass
    return n, n * n


def main():
    count = int(sys.argv[1])
    done = queue.Queue()
    total = [0]
    lock = threading.Lock()
    with open('progress', 'w', encoding='ascii', buffering=1) as progress:
        def add():
            while True:
                item = done.get()
                if item is None:
                    return
                with lock:
                    total[0] += item[1]
                    progress.write(f'{item[0]}\n')
        threads = [threading.Thread(target=add) for _ in range(4)]
        for t in threads:
            t.start()
        with multiprocessing.get_context('fork').Pool(3) as pool:
            for item in pool.imap_unordered(square, range(count), chunksize=1):
                done.put(item)
        for t in threads:
            done.put(None)
        for t in threads:
            t.join()
    with open('result', 'w', encoding='ascii') as f:
        json.dump({'sum': total[0]}, f)


if __name__ == '__main__':
    main()

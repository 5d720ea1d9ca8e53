// SPDX-License-Identifier: GPL-2.0-or-later
import java.io.FileWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Makes garbage and adds numbers in four threads; each round has the same result: Work ROUNDS. */
public final class Work {
    private static long part(int seed) {
        TreeMap<Integer, String> map = new TreeMap<>();
        long sum = 0;
        int x = seed;
        for (int i = 0; i < 20000; i++) {
            x = x * 1103515245 + 12345;
            map.put(x, "value " + x);
            if (map.size() > 1000)
                sum += map.pollFirstEntry().getValue().hashCode();
        }
        return sum;
    }

    public static void main(String[] words) throws Exception {
        int rounds = Integer.parseInt(words[0]);
        ExecutorService pool = Executors.newFixedThreadPool(4);
        try (FileWriter progress = new FileWriter("progress")) {
            for (int round = 0; round < rounds; round++) {
                List<Callable<Long>> parts = new ArrayList<>();
                for (int i = 1; i <= 8; i++) {
                    int seed = i;
                    parts.add(() -> part(seed));
                }
                long sum = 0;
                for (Future<Long> f : pool.invokeAll(parts))
                    sum += f.get();
                progress.write(round + " " + sum + "\n");
                progress.flush();
                Thread.sleep(20);
            }
        }
        pool.shutdown();
    }
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The description of processors, and what is compared. */
#include <errno.h>
#include <string.h>

#include "engine/arch/arch.h"
#include "engine/arch/x86_64/cpu.h"
#include "engine/base/arena.h"
#include "proto/inventory.pb-c.h"
#include "tests/lib/test.h"

#define EVERYTHING (ARCH_CPU_FPU | ARCH_CPU_ALL | ARCH_CPU_INS)

static struct cpu here(void)
{
	struct cpu c;

	check_int(cpu_read(&c), 0);
	return c;
}

static void differs(const struct cpu *image, unsigned int caps, const char *want)
{
	struct cpu c = here();
	struct err err = ERR_INIT;

	check_int(cpu_compare(image, &c, caps, &err), -ENOTSUP);
	if (!strstr(err.text, want))
		test_fail(__FILE__, __LINE__, "'%s' is not in '%s'", want, err.text);
}

static void is_fine(const struct cpu *image, unsigned int caps)
{
	struct cpu c = here();
	struct err err = ERR_INIT;

	if (!check_int(cpu_compare(image, &c, caps, &err), 0))
		test_fail(__FILE__, __LINE__, "%s", err.text);
}

TEST(this_processor_is_the_one_in_cpuinfo)
{
	char line[4096], vendor[64] = "";
	struct cpu c = here();
	unsigned int family = 0, model = 0, stepping = 0;
	bool sse2 = false;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f) && line[0] != '\n') {
		sscanf(line, "vendor_id : %63s", vendor);
		sscanf(line, "cpu family : %u", &family);
		sscanf(line, "model : %u", &model);
		sscanf(line, "stepping : %u", &stepping);
		sse2 |= strncmp(line, "flags", 5) == 0 && strstr(line, " sse2 ");
		if (strncmp(line, "model name", 10) == 0)
			check(strstr(line, c.name) != NULL);
	}
	fclose(f);
	check_int(c.vendor, strcmp(vendor, "GenuineIntel") == 0 ? CPU_INTEL : CPU_AMD);
	check_int(c.family, family);
	check_int(c.model, model);
	check_int(c.stepping, stepping);
	check(sse2 && c.words[0] >> 26 & 1);
	/* what CRIU leaves out of the mask is not in it */
	check_int(c.xfeatures & ~0x2f5ull, 0);
	is_fine(&c, EVERYTHING);
}

TEST(what_is_missing_here_is_named)
{
	struct cpu image = here();

	image.words[4] |= 1 << 12;
	image.words[6] |= 1 << 11 | 1 << 16; /* no processor has both of these and all the others */
	image.words[9] |= 1 << 26 | 1 << 27;
	strcpy(image.name, "Old Faithful");
	differs(&image, ARCH_CPU_INS, "instructions of 'Old Faithful': ");
	differs(&image, EVERYTHING, "avx512er");
	is_fine(&image, ARCH_CPU_FPU);
	is_fine(&image, 0);
}

TEST(more_than_the_images_need_is_fine_but_not_the_same)
{
	struct cpu image = here();

	image.words[4] &= ~(1u << 23); /* popcnt */
	is_fine(&image, ARCH_CPU_FPU | ARCH_CPU_INS);
	differs(&image, ARCH_CPU_ALL, "exactly");
}

TEST(the_extended_state_must_fit)
{
	struct cpu image = here();

	image.xsave_size += 64;
	differs(&image, ARCH_CPU_FPU, "bytes");
	is_fine(&image, ARCH_CPU_INS | ARCH_CPU_ALL);
	image = here();
	image.xfeatures |= 1ull << 40;
	differs(&image, ARCH_CPU_FPU, "0x10000000000");
	image = here();
	image.words[10] |= 1 << 3;
	if (!(here().words[10] & 1 << 3))
		differs(&image, ARCH_CPU_FPU, "xsaves");
}

TEST(images_of_every_sort)
{
	struct arena arena = { 0 };
	CpuinfoEntry e = CPUINFO_ENTRY__INIT;
	struct err err = ERR_INIT;
	CpuinfoX86Entry *x;

	check(arch_cpu_check(&e, 0, &err) < 0);
	check_int(arch_cpu_fill(&arena, &e), 0);
	x = e.x86_entry[0];
	check_int(x->capability_ver, 2);
	check_int(x->n_capability, 19);
	check_int(arch_cpu_check(&e, EVERYTHING, &err), 0);
	/* an old one tells less */
	x->capability_ver = 1;
	x->n_capability = 12;
	x->has_xfeatures_mask = x->has_xsave_size = x->has_xsave_size_max = false;
	x->model_id = NULL;
	check_int(arch_cpu_check(&e, EVERYTHING, &err), 0);
	x->n_capability = 11;
	check(arch_cpu_check(&e, EVERYTHING, &err) < 0);
	check_int(err.class, ERR_IMAGE);
	x->n_capability = 12;
	x->capability_ver = 3;
	check(arch_cpu_check(&e, 0, &err) < 0);
	x->capability_ver = 1;
	x->vendor_id = 7;
	check(arch_cpu_check(&e, 0, &err) < 0);
	arena_done(&arena);
}

TEST_MAIN()

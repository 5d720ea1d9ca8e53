/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the processor can do, and cpuinfo.img. */
#include "engine/arch/x86_64/cpu.h"

#include <cpuid.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "engine/arch/arch.h"
#include "engine/base/arena.h"
#include "engine/base/buf.h"
#include "proto/inventory.pb-c.h"

enum { EAX, EBX, ECX, EDX };

struct leaf {
	uint32_t r[4];
};

/* Words that are a register of CPUID; the others hold what the kernel has made up. */
static const struct {
	uint8_t word, reg;
	uint32_t leaf, sub;
} sources[] = {
	{ 0, EDX, 1, 0 },	    { 1, EDX, 0x80000001, 0 },	{ 4, ECX, 1, 0 },
	{ 6, ECX, 0x80000001, 0 },  { 9, EBX, 7, 0 },		{ 10, EAX, 0xd, 1 },
	{ 11, ECX, 7, 0 },	    { 12, EDX, 0xf, 1 },	{ 13, EBX, 0x80000008, 0 },
	{ 14, EAX, 6, 0 },	    { 15, EDX, 0x8000000a, 0 }, { 16, EDX, 0xf, 0 },
	{ 17, EBX, 0x80000007, 0 }, { 18, EDX, 7, 0 },
};

/* Features that programs use without asking the kernel. */
struct feature {
	uint8_t word, bit;
	const char *name;
};

/* clang-format off */
static const struct feature instructions[] = {
	{ 0, 0, "fpu" }, { 0, 4, "tsc" }, { 0, 8, "cx8" }, { 0, 11, "sep" }, { 0, 15, "cmov" },
	{ 0, 19, "clflush" }, { 0, 23, "mmx" }, { 0, 24, "fxsr" }, { 0, 25, "sse" }, { 0, 26, "sse2" },
	{ 1, 11, "syscall" }, { 1, 22, "mmxext" }, { 1, 27, "rdtscp" }, { 1, 30, "3dnowext" },
	{ 1, 31, "3dnow" }, { 3, 16, "rep_good" }, { 3, 20, "nopl" }, { 4, 0, "pni" }, { 4, 1, "pclmulqdq" },
	{ 4, 3, "monitor" }, { 4, 9, "ssse3" }, { 4, 13, "cx16" }, { 4, 19, "sse4_1" }, { 4, 20, "sse4_2" },
	{ 4, 22, "movbe" }, { 4, 23, "popcnt" }, { 4, 25, "aes" }, { 4, 26, "xsave" }, { 4, 27, "osxsave" },
	{ 4, 28, "avx" }, { 4, 29, "f16c" }, { 4, 30, "rdrand" }, { 6, 5, "abm" }, { 6, 6, "sse4a" },
	{ 6, 7, "misalignsse" }, { 6, 8, "3dnowprefetch" }, { 6, 11, "xop" }, { 6, 16, "fma4" },
	{ 6, 21, "tbm" }, { 9, 0, "fsgsbase" }, { 9, 3, "bmi1" }, { 9, 4, "hle" }, { 9, 5, "avx2" },
	{ 9, 8, "bmi2" }, { 9, 9, "erms" }, { 9, 11, "rtm" }, { 9, 14, "mpx" }, { 9, 16, "avx512f" },
	{ 9, 17, "avx512dq" }, { 9, 18, "rdseed" }, { 9, 19, "adx" }, { 9, 23, "clflushopt" },
	{ 9, 26, "avx512pf" }, { 9, 27, "avx512er" }, { 9, 28, "avx512cd" }, { 9, 29, "sha_ni" },
	{ 9, 30, "avx512bw" }, { 9, 31, "avx512vl" }, { 10, 0, "xsaveopt" }, { 10, 1, "xsavec" },
	{ 10, 2, "xgetbv1" }, { 11, 1, "avx512vbmi" }, { 11, 6, "avx512_vbmi2" }, { 11, 8, "gfni" },
	{ 11, 9, "vaes" }, { 11, 10, "vpclmulqdq" }, { 11, 11, "avx512_vnni" }, { 11, 12, "avx512_bitalg" },
	{ 11, 13, "tme" }, { 11, 14, "avx512_vpopcntdq" }, { 11, 22, "rdpid" }, { 13, 0, "clzero" },
	{ 18, 2, "avx512_4vnniw" }, { 18, 3, "avx512_4fmaps" },
	{ 4, 12, "fma" }, { 9, 21, "avx512ifma" },
};
/* clang-format on */

static const struct feature fpu_features[] = {
	{ 0, 0, "fpu" }, { 0, 24, "fxsr" }, { 4, 27, "osxsave" }, { 10, 3, "xsaves" }
};

/* The feature that each component of the extended state belongs to, by its number. */
static const struct feature components[] = { { 0, 0, "x87" },
					     { 0, 25, "sse" },
					     { 4, 28, "avx" },
					     { 9, 14, "mpx bounds" },
					     { 9, 14, "mpx status" },
					     { 9, 16, "avx512 masks" },
					     { 9, 16, "avx512 low" },
					     { 9, 16, "avx512 high" },
					     { 9, 25, "processor trace" },
					     { 11, 3, "protection keys" } };

/* SSE and the bounds of MPX are always there or never, and CRIU leaves their bits out. */
#define XFEATURES_KEPT 0x2f5u

enum { COMMON = 3, COMMON_REP_GOOD = 16, COMMON_NOPL = 20, COMMON_CPUID = 25 };

static bool has(const struct cpu *c, const struct feature *f)
{
	return c->words[f->word] >> f->bit & 1;
}

/* Zeros for a leaf that this processor does not have. */
static struct leaf ask(uint32_t leaf, uint32_t sub)
{
	struct leaf l = { { 0 } };

	if ((uint32_t)__get_cpuid_max(leaf & 0x80000000u, NULL) >= leaf)
		__cpuid_count(leaf, sub, l.r[EAX], l.r[EBX], l.r[ECX], l.r[EDX]);
	return l;
}

static enum cpu_vendor read_vendor(void)
{
	struct leaf l = ask(0, 0);
	char name[13] = "";

	memcpy(name, &l.r[EBX], 4);
	memcpy(name + 4, &l.r[EDX], 4);
	memcpy(name + 8, &l.r[ECX], 4);
	if (strcmp(name, "GenuineIntel") == 0)
		return CPU_INTEL;
	return strcmp(name, "AuthenticAMD") == 0 || strcmp(name, "HygonGenuine") == 0 ? CPU_AMD : 0;
}

static void read_model(struct cpu *c)
{
	uint32_t eax = ask(1, 0).r[EAX];

	c->family = eax >> 8 & 15;
	c->model = eax >> 4 & 15;
	c->stepping = eax & 15;
	if (c->family == 15)
		c->family += eax >> 20 & 255;
	if (c->family >= 6)
		c->model += (eax >> 16 & 15) << 4;
}

static void read_name(struct cpu *c)
{
	char text[49] = "";
	size_t skip;

	for (uint32_t i = 0; i < 3; i++) {
		struct leaf l = ask(0x80000002 + i, 0);

		memcpy(text + i * sizeof(l), &l, sizeof(l));
	}
	skip = strspn(text, " ");
	memcpy(c->name, text + skip, sizeof(text) - skip);
}

static void read_words(struct cpu *c)
{
	bool quick_rep = c->vendor == CPU_INTEL ? c->family == 6 : c->family >= 16;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		c->words[sources[i].word] = ask(sources[i].leaf, sources[i].sub).r[sources[i].reg];
	/* the second part of the leaf means something only if the first says so */
	if (!(c->words[16] & 2))
		c->words[12] = 0;
	c->words[COMMON] = 1u << COMMON_CPUID | 1u << COMMON_NOPL |
			   (quick_rep ? 1u << COMMON_REP_GOOD : 0);
	/* that bit once was 3DNow of AMD */
	if (c->vendor == CPU_AMD)
		c->words[0] &= ~(1u << 31);
}

static void read_xstate(struct cpu *c)
{
	struct leaf l = ask(0xd, 0);

	c->xfeatures = l.r[EAX] | (uint64_t)l.r[EDX] << 32;
	for (size_t i = 0; i < sizeof(components) / sizeof(components[0]); i++)
		if (!has(c, &components[i]))
			c->xfeatures &= ~(1ull << i);
	c->xfeatures &= XFEATURES_KEPT;
	c->xsave_size = l.r[EBX];
	c->xsave_size_max = l.r[ECX];
}

int cpu_read(struct cpu *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->vendor = read_vendor();
	if (!ret->vendor)
		return -ENOTSUP;
	read_model(ret);
	read_words(ret);
	read_name(ret);
	read_xstate(ret);
	return 0;
}

/* ---- comparing ---- */

/* The features of the list that image has and this processor has not. */
static int lacks(const struct cpu *image, const struct cpu *here, const struct feature *list,
		 size_t n, const char *what, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		if (has(image, &list[i]) && !has(here, &list[i]) &&
		    buf_printf(&text, "%s%s", text.len ? ", " : "", list[i].name) < 0)
			return err_nomem(err);
	if (!text.len)
		return 0;
	return err_new(err, ERR_ENVIRONMENT, -ENOTSUP, "this processor lacks %s of '%s': %s", what,
		       image->name, text.data);
}

static int compare_fpu(const struct cpu *image, const struct cpu *here, struct err *err)
{
	uint64_t missing = image->xfeatures & ~here->xfeatures;
	int r = lacks(image, here, fpu_features, sizeof(fpu_features) / sizeof(fpu_features[0]),
		      "floating point features", err);

	if (r < 0)
		return r;
	if (missing)
		return err_new(err, ERR_ENVIRONMENT, -ENOTSUP,
			       "this processor lacks parts of the extended state of '%s': 0x%llx",
			       image->name, (unsigned long long)missing);
	/* libraries remember the size when a program starts */
	if (image->xsave_size != here->xsave_size || image->xsave_size_max != here->xsave_size_max)
		return err_new(err, ERR_ENVIRONMENT, -ENOTSUP,
			       "the extended state of '%s' has %u bytes (%u at most), that of this "
			       "processor %u (%u)",
			       image->name, image->xsave_size, image->xsave_size_max,
			       here->xsave_size, here->xsave_size_max);
	return 0;
}

int cpu_compare(const struct cpu *image, const struct cpu *here, unsigned int caps, struct err *err)
{
	int r = caps & ARCH_CPU_FPU ? compare_fpu(image, here, err) : 0;

	if (r == 0 && caps & ARCH_CPU_INS)
		r = lacks(image, here, instructions, sizeof(instructions) / sizeof(instructions[0]),
			  "instructions", err);
	if (r == 0 && caps & ARCH_CPU_ALL &&
	    memcmp(image->words, here->words, sizeof(here->words)) != 0)
		r = err_new(err, ERR_ENVIRONMENT, -ENOTSUP,
			    "this processor ('%s') has not exactly the features of '%s'",
			    here->name, image->name);
	return r;
}

/* ---- the image ---- */

int arch_cpu_fill(struct arena *arena, CpuinfoEntry *ret)
{
	CpuinfoX86Entry *e = arena_alloc(arena, sizeof(*e));
	struct cpu *c = arena_alloc(arena, sizeof(*c));
	int r;

	ret->x86_entry = arena_alloc(arena, sizeof(*ret->x86_entry));
	if (!e || !c || !ret->x86_entry)
		return -ENOMEM;
	r = cpu_read(c);
	if (r < 0)
		return r;
	cpuinfo_x86_entry__init(e);
	e->vendor_id = c->vendor == CPU_INTEL ? CPUINFO_X86_ENTRY__VENDOR__INTEL
					      : CPUINFO_X86_ENTRY__VENDOR__AMD;
	e->cpu_family = c->family;
	e->model = c->model;
	e->stepping = c->stepping;
	e->capability_ver = 2;
	e->n_capability = CPU_WORDS;
	e->capability = c->words;
	e->model_id = c->name[0] ? c->name : NULL;
	e->has_xfeatures_mask = e->has_xsave_size = e->has_xsave_size_max = true;
	e->xfeatures_mask = c->xfeatures;
	e->xsave_size = c->xsave_size;
	e->xsave_size_max = c->xsave_size_max;
	ret->x86_entry[0] = e;
	ret->n_x86_entry = 1;
	return 0;
}

static int take_entry(const CpuinfoX86Entry *e, struct cpu *c, struct err *err)
{
	size_t words = e->capability_ver == 1 ? CPU_WORDS_V1 : CPU_WORDS;

	if (e->vendor_id != CPUINFO_X86_ENTRY__VENDOR__INTEL &&
	    e->vendor_id != CPUINFO_X86_ENTRY__VENDOR__AMD)
		return err_image(err, "the vendor %d is not known", (int)e->vendor_id);
	if (e->capability_ver < 1 || e->capability_ver > 2)
		return err_image(err, "version %u of the features is not known", e->capability_ver);
	if (e->n_capability != words)
		return err_image(err, "%zu words of features, not %zu", e->n_capability, words);
	memcpy(c->words, e->capability, words * sizeof(c->words[0]));
	snprintf(c->name, sizeof(c->name), "%s", e->model_id ? e->model_id : "another");
	for (char *p = c->name; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	/* what older images do not tell is taken for the same */
	if (e->has_xfeatures_mask)
		c->xfeatures = e->xfeatures_mask;
	if (e->has_xsave_size)
		c->xsave_size = e->xsave_size;
	if (e->has_xsave_size_max)
		c->xsave_size_max = e->xsave_size_max;
	return 0;
}

int arch_cpu_check(const CpuinfoEntry *entry, unsigned int caps, struct err *err)
{
	struct cpu here, image;
	int r;

	if (entry->n_x86_entry != 1)
		return err_image(err, "it describes no processor of this architecture");
	r = cpu_read(&here);
	if (r < 0)
		return err_new(err, ERR_ENVIRONMENT, r,
			       "the vendor of this processor is not known");
	image = here;
	r = take_entry(entry->x86_entry[0], &image, err);
	return r < 0 ? r : cpu_compare(&image, &here, caps, err);
}

/* SPDX-License-Identifier: MIT */
/*
 * The words by which a saved machine is made again: they say all that is the machine's and nothing else, come
 * back as they were, give way to a person's; and what is no such section is refused.
 */
#include "cmd/saved-options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/tap.h"
#include "util/util.h"
#include "vm/arch.h"

#define WORDS_MAX 40

static struct run_options *fresh(enum option_source source)
{
	struct run_options *o = calloc(1, sizeof(*o));

	o->source = source;
	o->machine.vm.cpus = DEFAULT_CPUS;
	o->machine.vm.mem = DEFAULT_MEM;
	return o;
}

static void drop(struct run_options *o)
{
	options_free(o);
	free(o);
}

/* `line` is cut up at spaces, and outlives what is made of it. */
static int parse(struct run_options *o, char *line, struct err *err)
{
	static char *words[WORDS_MAX];
	int n = 0;

	words[n++] = "run";
	for (char *word = strtok(line, " "); word && n < WORDS_MAX - 1; word = strtok(NULL, " "))
		words[n++] = word;
	words[n] = NULL;
	return options_parse(n, words, o, err);
}

/* The section as text: '|' for each end of a word. */
static const char *text(const struct buf *b)
{
	static char shown[4096];
	size_t n = MIN(b->len - 4, sizeof(shown) - 1);

	memcpy(shown, b->data + 4, n);
	for (size_t i = 0; i < n; i++)
		shown[i] = shown[i] ? shown[i] : '|';
	shown[n] = 0;
	return shown;
}

static struct reader reader_of(const struct buf *b)
{
	return (struct reader){ .p = b->data, .left = b->len };
}

/* What `lkvm run ARGS` has; "" and a failed test if it has none. */
static void section(const char *args, struct buf *out)
{
	struct run_options *o = fresh(OPTIONS_RUN);
	char *line = strdup(args);
	struct err err = { "" };
	int rc = parse(o, line, &err);

	if (!rc)
		rc = saved_options_make(o, &o->machine.vm, out, &err);
	if (rc)
		ok(false, "%s: %s", args, err.text);
	drop(o);
	free(line);
}

static void round_trip(const char *args, const char *wanted)
{
	struct run_options *o = fresh(OPTIONS_RESTORE);
	struct buf first = { 0 }, second = { 0 };
	struct err err = { "" };
	struct reader in;
	int rc;

	section(args, &first);
	ok(strstr(text(&first), wanted), "%s: has %s in %s", args, wanted, text(&first));
	in = reader_of(&first);
	rc = saved_options_take(o, &in, SAVED_BELIEVED, &err);
	ok(!rc, "is taken: %s", err.text);
	rc = saved_options_make(o, &o->machine.vm, &second, &err);
	ok(!rc && first.len == second.len && !memcmp(first.data, second.data, first.len),
	   "and comes out the same: %s", text(&second));
	drop(o);
	buf_free(&first);
	buf_free(&second);
}

/* What a person says of the machine beside its snapshot, and what it comes to. */
static void wins(const char *args, const char *beside, const char *wanted)
{
	struct run_options *o = fresh(OPTIONS_RESTORE);
	struct buf first = { 0 }, second = { 0 };
	char *line = strdup(beside);
	struct err err = { "" };
	struct reader in;
	int rc;

	section(args, &first);
	in = reader_of(&first);
	rc = parse(o, line, &err);
	if (!rc)
		rc = saved_options_take(o, &in, SAVED_BELIEVED, &err);
	if (!rc)
		rc = saved_options_make(o, &o->machine.vm, &second, &err);
	ok(!rc && strstr(text(&second), wanted), "%s beside it: %s %s", beside,
	   rc ? err.text : text(&second), wanted);
	drop(o);
	free(line);
	buf_free(&first);
	buf_free(&second);
}

static void person_is_refused(const char *args, const char *wanted)
{
	struct run_options *o = fresh(OPTIONS_RESTORE);
	char *line = strdup(args);
	struct err err = { "" };
	int rc = parse(o, line, &err);

	ok(rc < 0 && strstr(err.text, wanted), "restore %s: %s", args, err.text);
	drop(o);
	free(line);
}

static void bytes_are_refused(const char *what, uint32_t facts, const char *words, size_t len)
{
	struct run_options *o = fresh(OPTIONS_RESTORE);
	struct buf b = { 0 };
	struct err err = { "" };
	struct reader in;
	int rc;

	buf_put_le32(&b, facts);
	buf_put(&b, words, len);
	in = reader_of(&b);
	rc = saved_options_take(o, &in, SAVED_BELIEVED, &err);
	ok(rc < 0 && err.text[0], "%s: %s", what, err.text);
	drop(o);
	buf_free(&b);
}

#define REFUSED(what, words) bytes_are_refused(what, 0, words, sizeof(words))

static void doubted(void)
{
	struct run_options *o = fresh(OPTIONS_RESTORE);
	static const char words[] = "--mem=2147483648B\0--disk=/etc/passwd";
	struct buf b = { 0 };
	struct err err = { "" };
	struct reader in;

	buf_put_le32(&b, 1);
	buf_put(&b, words, sizeof(words));
	in = reader_of(&b);
	ok(!saved_options_take(o, &in, SAVED_DOUBTED, &err) && !o->machine.n_disks &&
		   o->machine.vm.mem == DEFAULT_MEM && o->machine.vm.not_linux,
	   "of a stranger's no word is taken, but what his guest is");
	ok(!saved_options_given(o), "and the user has said nothing");
	drop(o);
	buf_free(&b);
}

static void too_long(void)
{
	struct run_options *o = fresh(OPTIONS_RESTORE);
	struct buf b = { 0 };
	struct err err = { "" };
	struct reader in;

	buf_put_zeros(&b, SAVED_OPTIONS_MOST + 5);
	in = reader_of(&b);
	ok(saved_options_take(o, &in, SAVED_BELIEVED, &err) < 0, "too long: %s", err.text);
	in.left = 3;
	ok(saved_options_take(o, &in, SAVED_BELIEVED, &err) < 0, "too short: %s", err.text);
	drop(o);
	buf_free(&b);
}

/* Whatever bytes come: it is taken, or refused with a line. */
static void any_bytes(void)
{
	const unsigned int rounds = 20000;
	unsigned int refused = 0, taken = 0, odd = 0;
	struct buf b = { 0 };
	uint32_t random = 1;

	section("k -c 2 -d /a,ro,serial=s -n mode=user,fwd=1:2 --vsock 3,uds=/u --share t=/s --rng",
		&b);
	for (unsigned int i = 0; i < rounds; i++) {
		struct run_options *o = fresh(OPTIONS_RESTORE);
		struct buf bent = { 0 };
		struct err err = { "" };
		struct reader in;
		int rc;

		buf_put(&bent, b.data, b.len);
		for (unsigned int n = 0; n <= i % 4; n++) {
			random = random * 1664525 + 1013904223;
			bent.data[4 + (random >> 8) % (b.len - 4)] = (uint8_t)(random >> 24);
		}
		bent.len -= i % 7 ? 0 : (random >> 8) % b.len;
		in = reader_of(&bent);
		rc = saved_options_take(o, &in, SAVED_BELIEVED, &err);
		taken += !rc;
		refused += rc < 0 && err.text[0];
		odd += rc > 0 || (rc && !err.text[0]);
		drop(o);
		buf_free(&bent);
	}
	ok(taken && refused && !odd, "of %u bent sections %u are taken, %u refused with a line",
	   rounds, taken, refused);
	buf_free(&b);
}

/* Of paths and the folder that we are in. */
static void paths(void)
{
	char dir[] = "/tmp/kindling-options-XXXXXX", wanted[64], comma[64];
	struct run_options *o = fresh(OPTIONS_RUN);
	struct buf b = { 0 };
	struct err err = { "" };
	char line[] = "k -d sub/disk.img";

	if (!mkdtemp(dir) || chdir(dir))
		abort();
	snprintf(wanted, sizeof(wanted), "|--disk=%s/sub/disk.img,ro|", dir);
	round_trip("k -d sub/disk.img,ro", wanted);
	snprintf(wanted, sizeof(wanted), "|--share=src=%s/.:ro|", dir);
	round_trip("k --share src=.", wanted);
	snprintf(wanted, sizeof(wanted), ",uds=%s/a,b|", dir);
	round_trip("k --vsock 7,uds=a,b", wanted);
	snprintf(comma, sizeof(comma), "%s/a,b", dir);
	if (mkdir(comma, 0700) || chdir(comma))
		abort();
	ok(!parse(o, line, &err) && saved_options_make(o, &o->machine.vm, &b, &err) < 0,
	   "no option names such a disk: %s", err.text);
	if (chdir("/") || rmdir(comma) || rmdir(dir))
		abort();
	drop(o);
	buf_free(&b);
}

static void x86(void)
{
	round_trip("k --debug-exit none --triple-fault ok --entry raw", "|--debug-exit=none|");
	round_trip("k --debug-exit 0xf4,ok=41 --debug-exit 12 --debug-exit 0x501,shift",
		   "|--debug-exit=0xf4,ok=41|--debug-exit=0xc|--debug-exit=0x501,shift|");
}

/* A 32-bit kernel says itself that it is one: what goes on with it has no kernel to ask. */
static void arm64(void)
{
	struct run_options *o = fresh(OPTIONS_RUN), *restored = fresh(OPTIONS_RESTORE);
	char line[] = "k";
	struct vm_config vm = { .found = "aarch32" };
	struct err err = { "" };
	struct buf b = { 0 };
	struct reader in;
	int rc = parse(o, line, &err);

	if (!rc)
		rc = saved_options_make(o, &vm, &b, &err);
	in = reader_of(&b);
	if (!rc)
		rc = saved_options_take(restored, &in, SAVED_BELIEVED, &err);
	ok(!rc && vm_option(&restored->machine.vm, "aarch32"), "a 32-bit guest stays one: %s %s",
	   text(&b), err.text);
	drop(o);
	drop(restored);
	buf_free(&b);
	round_trip("k --aarch32 --no-pvtime", "|--aarch32|--no-pvtime|");
}

int main(void)
{
	round_trip("k", "--cpus=1|--mem=536870912B|--console=serial|--virtio-transport=mmio|");
	round_trip("k -c 3 -m 64 --rng --balloon-target 16M --console virtio --reset ok",
		   "|--rng|--balloon|--reset=ok|");
	round_trip("k --name x --timeout 5 --result /tmp/r -v -p quiet --kernel-log /tmp/l",
		   "transport=mmio|");
	round_trip("k --virtio-transport pci -n mode=user,fwd=8080:80,guest_mac=52:54:00:12:34:56",
		   "|--network=mode=user,guest_mac=52:54:00:12:34:56,fwd=127.0.0.1:8080:80|");
	round_trip(
		"k -n mode=tap,tapif=t0,queues=4,script=/a,downscript=/b,vhost=0,rate=1M,mtu=900",
		",mtu=900,vhost=0,tapif=t0,queues=4,script=/a,downscript=/b,rate=1048576|");
	round_trip("k -n mode=none", "transport=mmio|");
	round_trip(
		"k -d /a,format=qcow2,cow,backing=any,serial=s,iops=7 -d /b,io=threads,queues=2",
		"|--disk=/a,format=qcow2,cow,backing=any,serial=s,iops=7|--disk=/b,queues=2,io=threads|");
	round_trip("k --9p /d,t", "|--share=t=/d:rw|");
	round_trip("k --9p /d:ro,a=b", "|--9p=/d:ro,a=b|");
	round_trip("k --vsock 3 --irqchip none", "|--irqchip=none|");
	round_trip("--payload end", "|--payload=end|");
	if (!strcmp(arch_name, "x86_64"))
		x86();
	else
		arm64();
	paths();

	wins("k -m 64 -d /a -d /b,ro", "-d /c --timeout 5", "transport=mmio|--disk=/c|");
	wins("k -m 64 --share t=/a", "--9p /b,t", "|--share=t=/b:rw|");
	wins("k -m 64", "DIR --name x", "--mem=67108864B|");
	wins("k -n mode=user", "-n mode=none", "transport=mmio|");
	person_is_refused("-k bzImage", "--kernel says how a guest begins");
	person_is_refused("--block:x=y", "says how a guest begins");
	person_is_refused("one two", "two to restore: one and two");
	person_is_refused("one -- ls", "a command");

	REFUSED("an option that is none", "--frobnicate");
	REFUSED("a run's", "--result=/tmp/x");
	REFUSED("a beginning's", "--kernel=/etc/passwd");
	REFUSED("a short one's", "-k");
	REFUSED("a bare word", "bzImage");
	REFUSED("an empty word", "--rng\0");
	REFUSED("no name", "--");
	REFUSED("a value that is missing", "--mem");
	REFUSED("a value that can't be", "--mem=1");
	bytes_are_refused("no end", 0, "--rng", 5);
	bytes_are_refused("facts from later", 4, "--rng", 6);
	too_long();
	any_bytes();
	doubted();
	return done_testing();
}

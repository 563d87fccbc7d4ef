/* SPDX-License-Identifier: MIT */
/* The deterministic simulator: controller, relays, mirrors and a host in one process, on
 * simulated time, network and disks, running the very core, journal and store that ship. */
#ifndef DP_TESTS_SIM_SIM_H
#define DP_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "io/disk.h"
#include "stream/stream.h"
#include "rng.h"

#define SIM_NODES    16
#define SIM_REQUESTS 4000
#define SIM_BLOCK    512u
#define SIM_JOURNAL  (12 * DP_MIB)

struct sim;

/* Events: fn runs at its time; a dead incarnation's are dropped by the owner's check. */
typedef void sim_fn(struct sim *sim, void *arg, uint64_t number);
void sim_at(struct sim *sim, uint64_t delay_us, sim_fn *fn, void *arg, uint64_t number);
uint64_t sim_now(const struct sim *sim);
/* Gives each fault domain its generator. */
void sim_seed(struct sim *sim, uint64_t seed);
/* Runs what is due up to `end`, or until done (asked at every `every`-th event; NULL: never). */
typedef bool sim_done(struct sim *sim);
void sim_run(struct sim *sim, uint64_t end, unsigned every, sim_done *done);

/* A violated invariant: prints what and how to reproduce, and ends the process with 1. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Simulated disk of one node (sim_disk.c). */
struct sim_disk;
struct sim_disk *sim_disk_new(struct sim *sim, struct rng *rng, uint64_t sync_us);
void sim_disk_free(struct sim_disk *d);
struct dp_disk *sim_disk_table(struct sim_disk *d);
void sim_disk_crash(struct sim_disk *d); /* un-synced data is lost, kept or torn, at random */
void sim_disk_wipe(struct sim_disk *d);
void sim_disk_rot(struct sim_disk *d); /* one byte of one frame of the journal goes bad */
/* From now on a write to the journal may fail, and with it the next ones; NULL: none does. */
void sim_disk_bad(struct sim_disk *d, struct rng *rng, double probability);
/* Nothing is left to chance: operations take as long as they may, a crash takes what is not synced.
 */
void sim_disk_steady(struct sim_disk *d);
void sim_disk_slow(struct sim_disk *d, uint64_t sync_us);
/* Hears of each write to a durable file once it is safe. */
typedef void sim_written(void *arg, const uint8_t *data, uint64_t size);
void sim_disk_watch(struct sim_disk *d, sim_written *written, void *arg);
const uint8_t *sim_disk_bytes(struct sim_disk *d, const char *name, uint64_t *size);
const uint8_t *sim_disk_safe(struct sim_disk *d,
	const char *name); /* what a crash leaves for sure */

/* The omniscient checker (check.c). */
struct check;
struct check *check_new(uint64_t stream, uint64_t volume_size,
	struct dp_seal *opener); /* NULL: not sealed */
void check_free(struct check *c);
void check_record(struct check *c, const struct dp_record *r, uint64_t previous_chain);
bool check_known(struct check *c, struct dp_position p); /* a position of some history */
/* Content of the volume after position p of the history that ends there. */
void check_replay(struct check *c, struct dp_position p, uint8_t *volume);
/* Applies records (from, to] of the history ending at `to` onto volume. */
void check_apply(struct check *c, uint64_t from, struct dp_position to, uint8_t *volume);
/* The record made at seq with this chain; NULL: none. */
const struct dp_record *check_find(struct check *c, uint64_t seq, uint64_t chain);
/* Which nodes had the state at p durably on their disks at some time. */
void check_keep(struct check *c, unsigned node, struct dp_position p);
bool check_kept(struct check *c, unsigned node, struct dp_position p);
bool check_on_path(struct check *c, struct dp_position p, struct dp_position end);
/* Where the request's record stands in the history that ends at `end`; false: nowhere. */
bool check_request(struct check *c, uint64_t request, struct dp_position end,
	struct dp_position *out);
/* How often the request stands in the history that ends at p. */
unsigned check_count(struct check *c, struct dp_position p, uint64_t client, uint64_t request);

#endif

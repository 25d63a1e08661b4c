/* Worker on libgearman; see ../README.md. */
#include <libgearman-1.0/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *copy(const void *bytes, size_t size) {
  void *result = malloc(size + 1);
  if (result != NULL && size > 0) memcpy(result, bytes, size);
  return result;
}

static void *text(const char *words, size_t *size, gearman_return_t *ret) {
  *size = strlen(words);
  *ret = GEARMAN_SUCCESS;
  return copy(words, *size);
}

static void *do_reverse(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  const char *bytes = gearman_job_workload(job);
  size_t i, length = gearman_job_workload_size(job);
  char *result = malloc(length + 1);
  (void)context;
  for (i = 0; i < length; i++) result[i] = bytes[length - 1 - i];
  *size = length;
  *ret = GEARMAN_SUCCESS;
  return result;
}

static void *do_echo(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  (void)context;
  *size = gearman_job_workload_size(job);
  *ret = GEARMAN_SUCCESS;
  return copy(gearman_job_workload(job), *size);
}

static void *do_empty(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  (void)context;
  (void)job;
  *size = 0;
  *ret = GEARMAN_SUCCESS;
  return NULL;
}

static void *do_status(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  uint32_t part;
  (void)context;
  for (part = 1; part <= 3; part++) gearman_job_send_status(job, part, 3);
  return text("done", size, ret);
}

static void *do_data(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  (void)context;
  gearman_job_send_data(job, "part1", 5);
  gearman_job_send_data(job, "part2", 5);
  return text("done", size, ret);
}

static void *do_warn(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  (void)context;
  gearman_job_send_warning(job, "careful", 7);
  return text("done", size, ret);
}

static void *do_fail(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  (void)context;
  (void)job;
  *size = 0;
  *ret = GEARMAN_WORK_FAIL;
  return NULL;
}

static void *do_exception(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  (void)context;
  gearman_job_send_exception(job, "boom", 4);
  *size = 0;
  *ret = GEARMAN_WORK_EXCEPTION;
  return NULL;
}

static void *do_hang(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  char path[4096];
  FILE *mark;
  (void)context;
  snprintf(path, sizeof path, "%.*s", (int)gearman_job_workload_size(job), (const char *)gearman_job_workload(job));
  if (access(path, F_OK) == 0) return text("second", size, ret);
  mark = fopen(path, "w");
  if (mark != NULL) fclose(mark);
  sleep(60);
  return text("too late", size, ret);
}

static void *do_log(gearman_job_st *job, void *context, size_t *size, gearman_return_t *ret) {
  char bytes[4096], *line;
  FILE *file;
  (void)context;
  snprintf(bytes, sizeof bytes, "%.*s", (int)gearman_job_workload_size(job), (const char *)gearman_job_workload(job));
  line = strchr(bytes, '\n');
  if (line == NULL) return do_fail(job, context, size, ret);
  *line++ = '\0';
  file = fopen(bytes, "a");
  if (file != NULL) {
    fprintf(file, "%s\n", line);
    fclose(file);
  }
  return text("done", size, ret);
}

int main(int argc, char **argv) {
  static const struct { const char *name; gearman_worker_fn *function; } functions[] = {
    {"reverse", do_reverse}, {"echo", do_echo}, {"empty", do_empty}, {"status", do_status}, {"data", do_data}, {"warn", do_warn},
    {"fail", do_fail}, {"exception", do_exception}, {"hang", do_hang}, {"log", do_log},
  };
  gearman_worker_st *worker = gearman_worker_create(NULL);
  size_t i;
  if (argc < 3 || worker == NULL) return 2;
  gearman_worker_add_server(worker, argv[1], (in_port_t)atoi(argv[2]));
  for (i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    gearman_worker_add_function(worker, functions[i].name, 0, functions[i].function, NULL);
  }
  for (;;) {
    gearman_return_t ret = gearman_worker_work(worker);
    if (gearman_failed(ret) && ret != GEARMAN_WORK_FAIL && ret != GEARMAN_WORK_EXCEPTION) {
      fprintf(stderr, "work: %s\n", gearman_worker_error(worker));
      return 1;
    }
  }
}

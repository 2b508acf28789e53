//! Everyday calls, each with what it answers; `docs/src/plugins/calls.md` has the same table, and a test compares.
#define _GNU_SOURCE
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sesame.h"

const sesame_description sesame_this_plugin = {"calls", "0.1.0", "Everyday calls.", NULL};

static char answers[16384];
static size_t used;

static void add(const char *call, const char *answer) {
    used += (size_t)snprintf(answers + used, sizeof answers - used, "%s\t%s\n", call, answer);
}

static const char *number(long long value) {
    static char text[32];
    snprintf(text, sizeof text, "%lld", value);
    return text;
}

static const char *error(int failed) {
    return failed ? strerror(errno) : "done";
}

static const char *formatted(const char *format) {
    static char text[64];
    time_t now = time(NULL);
    strftime(text, sizeof text, format, gmtime(&now));
    return text;
}

static long long elapsed(void) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    sleep(3600);
    clock_gettime(CLOCK_MONOTONIC, &after);
    return after.tv_sec - before.tv_sec;
}

static long long parsed(void) {
    struct tm day = {.tm_year = 126, .tm_mon = 3, .tm_mday = 1};
    return mktime(&day);
}

#define NUMBER(call) add(#call, number((long long)(call)))
#define TEXT(call) add(#call, (call) ? (call) : "NULL")
#define ERROR(call) add(#call, error(call))

static void all(void) {
    unsigned char bytes[16];
    struct stat facts;
    NUMBER(printf("seen\n"));
    NUMBER(fprintf(stderr, "seen\n"));
    NUMBER(puts("seen"));
    NUMBER(time(NULL));
    TEXT(formatted("%Y-%m-%dT%H:%M:%SZ"));
    NUMBER(parsed());
    NUMBER(elapsed());
    NUMBER(getentropy(bytes, sizeof bytes));
    NUMBER(rand() >= 0);
    ERROR(fopen("/etc/hosts", "r") == NULL);
    ERROR(fopen("out.txt", "w") == NULL);
    ERROR(stat("/etc/passwd", &facts));
    ERROR(mkdir("new", 0700));
    ERROR(unlink("old"));
    ERROR(access("list.txt", R_OK));
    TEXT(getenv("HOME"));
    NUMBER(getchar());
    NUMBER(isatty(3));
    TEXT(setlocale(LC_ALL, ""));
    NUMBER(strtol("12 kB", NULL, 10));
    NUMBER(sqrt(16.0));
    NUMBER(snprintf(NULL, 0, "%.2f", 1.5));
}

const char *sesame_init(const sesame_config *config) {
    (void)config;
    return NULL;
}

void sesame_transform(const sesame_message *message, sesame_answer *answer) {
    size_t at = 0;
    sesame_text line;
    if (sesame_next_line(message, &at, &line) && sesame_is(&line, "chance")) {
        unsigned long long value;
        getentropy(&value, sizeof value);
        used = (size_t)snprintf(answers, sizeof answers, "%llx\n", value);
    } else {
        all();
    }
    sesame_replace(answer, answers, used);
}

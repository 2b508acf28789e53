//! Everyday calls, each with what it answers; `docs/src/plugins/calls.md` has the same table, and a test compares.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <locale>
#include <map>
#include <memory>
#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>

#include "sesame.hpp"

const sesame_description sesame_this_plugin = {"calls", "0.1.0", "Everyday calls.", nullptr};

static std::string answers;

template <typename Value> static void add(const char *call, const Value &value) {
    std::ostringstream line;
    line << call << '\t' << value << '\n';
    answers += line.str();
}

#define ANSWER(...) add(#__VA_ARGS__, (__VA_ARGS__))

static void all() {
    using namespace std::chrono;
    ANSWER((std::cout << "seen" << std::endl).good());
    ANSWER((std::cerr << "seen\n").good());
    ANSWER(system_clock::now().time_since_epoch() / seconds(1));
    ANSWER(steady_clock::now() < steady_clock::now());
    ANSWER(std::random_device{}() != std::random_device{}());
    ANSWER(std::ifstream("/etc/hosts").is_open());
    ANSWER(std::ofstream("out.txt").is_open());
    ANSWER(std::getenv("HOME") == nullptr);
    ANSWER(std::cin.get());
    ANSWER(std::locale().name());
    ANSWER(std::stoi("12 kB"));
    ANSWER(std::to_string(1.5));
    ANSWER(std::regex_replace("sesame", std::regex("[aeiou]"), ""));
    ANSWER(std::map<std::string, int>{{"a", 1}}.at("a"));
    ANSWER(std::unordered_map<std::string, int>{{"a", 1}}.count("b"));
    ANSWER(*std::make_unique<int>(7));
    ANSWER(std::string_view("Site: A").starts_with("Site: "));
    ANSWER(std::string("sesame").find('m'));
}

std::string sesame::init(const Config &) {
    return "";
}

void sesame::transform(const Message &message, Change &change) {
    if (*message.lines().begin() == "chance") {
        add("chance", std::random_device{}());
    } else {
        all();
    }
    change.replace(answers);
}

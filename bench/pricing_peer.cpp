// The loop of kernels/stress.py in C++, two options side by side: the same polynomials, the same tables, the same rows.
// Greeks, checks and records are left out, so the comparison favours this side.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr double SCALE = 0.84932180028801904272;  // 1 / sqrt(2 ln 2)
constexpr double P[] = {0.3388302701652387, 6.434928590195867, 57.538800981365114, 311.5195384184652,
                        1101.3268556814674, 2556.3680379563275, 3658.9759225696093, 2613.6445442563922};
constexpr double Q[] = {18.99157543565444, 170.5377664198839, 933.0881489584672, 3371.933787391741,
                        8187.183738037196, 12977.516410158376, 12228.662081427901, 5227.289088512785};

inline double above(double t) {
    return ((((((P[0] * t + P[1]) * t + P[2]) * t + P[3]) * t + P[4]) * t + P[5]) * t + P[6]) * t + P[7];
}

inline double below(double t) {
    return (((((((t + Q[0]) * t + Q[1]) * t + Q[2]) * t + Q[3]) * t + Q[4]) * t + Q[5]) * t + Q[6]) * t + Q[7];
}

inline double bits(std::int64_t n) {
    double x;
    std::memcpy(&x, &n, 8);
    return x;
}

struct Option {
    double x, slope, half, forward, strike, payoff, level, base;
};

inline double value(const Option &o, double growth, double log, double factor, double inverse) {
    const double u = std::fabs(o.x + log) * (o.slope * inverse), h = o.half * factor, a = u - h;
    const double y = std::min(std::fabs(a), 26.0), low = std::min(o.forward * growth, o.strike), w = u + h;
    // fast-math would undo the addition of a large constant, so the rounding is an instruction here
    const double z = y * y, n = std::nearbyint(z), f = n - z, g = f * f;
    const double odd = ((0.023093347707365569 * g + 20.202065668703798) * g + 1513.9068010847188) * f;
    const double even = (g + 233.18421171229478) * g + 4368.211668585997;
    const double power = bits((1023 - static_cast<std::int64_t>(n)) << 52);
    const double p = above(y), q = below(y), r = above(w), s = below(w);
    const double top = (std::copysign(p, a) * s - r * q) * (low * power * (even + odd));
    const double v = top / (q * s * (even - odd)) + std::max(o.payoff * growth - o.level, -o.base);
    return a < 0.0 ? v + low : v;
}

}  // namespace

extern "C" void price_rows(std::int64_t count, std::int64_t width, const double *forward, const double *strike, const double *volatility,
                           const double *years, const double *sign, const std::int64_t *expiry, const double *tables, double *rows) {
    for (std::int64_t i = 0; i < count; i += 2) {
        Option pair[2];
        const double *table[2];
        for (int k = 0; k < 2; ++k) {
            const std::int64_t n = std::min(i + k, count - 1);
            const double s = volatility[n] * std::sqrt(years[n]);
            Option &o = pair[k];
            o = {std::log(forward[n] / strike[n]), SCALE / s, 0.5 * SCALE * s, forward[n], strike[n],
                 sign[n] * forward[n], sign[n] * strike[n], 0.0};
            o.base = value(o, 1.0, 0.0, 1.0, 1.0);
            o.level += o.base;
            table[k] = tables + expiry[n] * 4 * width;
        }
        const Option first = pair[0], second = pair[1];
        const double *__restrict t = table[0], *__restrict v = table[1];
        double *__restrict one = rows + i * width, *__restrict two = rows + std::min(i + 1, count - 1) * width;
#pragma GCC ivdep
        for (std::int64_t j = 0; j < width; ++j) {
            one[j] = value(first, t[j], t[width + j], t[2 * width + j], t[3 * width + j]);
            two[j] = value(second, v[j], v[width + j], v[2 * width + j], v[3 * width + j]);
        }
    }
}

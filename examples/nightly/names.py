"""Made-up names in many scripts, and what a model would say of them.

The lists are written for this example: common forenames and surnames, put together at random, so that nobody is meant.
What stays true: the same seed gives the same people, and the model's answer depends on the name alone.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

# ruff: noqa: E501, S311 (lists of words, wide in a font for Japanese; nothing here is a secret)
# Nationality as the staging table writes it: how many in a thousand, surnames, forenames, how the two are put together.
PEOPLE: dict[str, tuple[int, str, str, str]] = {
    "日本": (
        420,
        "佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 林 斎藤 清水 山崎 森 池田 橋本 阿部 石川 "
        "前田 藤田 小川 岡田 後藤 長谷川 村上 近藤 石井 坂本 遠藤 青木 藤井 西村",
        "太郎 花子 翔太 美咲 健一 陽子 大輔 さくら 直樹 由美 拓也 愛 誠 恵子 和也 真由美 亮 千尋 学 彩 隆 久美子 悠斗 結衣 蓮 葵 湊 凛 樹 "
        "陽菜 大和 莉子 颯太 美月 海斗 七海 優斗 結菜 駿 遥",
        "{s} {f}",
    ),
    "中国": (
        150,
        "王 李 张 刘 陈 杨 黄 赵 吴 周 徐 孙 马 朱 胡 郭 何 高 罗 郑 梁 谢 宋 唐 许 邓 冯 韩 曹 曾",
        "伟 芳 娜 秀英 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 秀兰 霞 平 刚 桂英 浩然 子轩 雨桐 梓涵 欣怡 宇航 思远",
        "{s} {f}",
    ),
    "韓国": (
        80,
        "김 이 박 최 정 강 조 윤 장 임 한 오 서 신 권 황 안 송 류 홍",
        "민준 서연 지훈 지우 도윤 서윤 현우 하은 준서 수빈 예준 지민 건우 유진 우진 채원 민서 은지 성민 다은",
        "{s}{f}",
    ),
    "ベトナム": (
        70,
        "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý",
        "Văn_Anh Thị_Hoa Minh Thu_Hà Quang_Huy Ngọc_Lan Đức Thanh_Tâm Hải Mai Tuấn Linh Hùng Phương Nam Trang",
        "{s} {f}",
    ),
    "ネパール": (
        45,
        "Shrestha Gurung Tamang Thapa Rai Magar Karki Adhikari Bhattarai Poudel Khadka Basnet",
        "Ram Sita Hari Gita Bishal Anjali Suraj Sunita Prakash Kabita Dipesh Nisha Rajesh Puja",
        "{f} {s}",
    ),
    "ミャンマー": (
        35,
        "Aung Kyaw Win Htun Zaw Thein Naing Hlaing Myint Soe",
        "Su_Su Mya_Mya Thiha Khin Ei_Ei Min_Thu Nyein Phyo Hnin Wai_Yan",
        "{f} {s}",
    ),
    "アメリカ": (
        45,
        "Smith Johnson Williams Brown Jones Miller Davis Wilson Anderson Taylor Thomas Moore Jackson Martin",
        "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Emily Joshua",
        "{f} {s}",
    ),
    "イギリス": (
        30,
        "Hughes Edwards Green Hall Wood Harris Lewis Clarke Walker Robinson Wright Thompson White Roberts",
        "Oliver Amelia George Isla Harry Ava Jack Poppy Alfie Freya Arthur Florence Rupert Imogen",
        "{f} {s}",
    ),
    "フランス": (
        25,
        "Martin Bernard Dubois Moreau Laurent Lefèvre Fournier Girard Mercier Dupont Lambert Rousseau",
        "Camille Léa Louis Chloé Hugo Manon Théo Inès Éloïse François Gaël Zoé",
        "{f} {s}",
    ),
    "ブラジル": (
        25,
        "Silva Santos Oliveira Souza Pereira Ferreira Almeida Ribeiro Carvalho Araújo",
        "João Ana Gabriel Beatriz Lucas Mariana Mateus Júlia Thiago Larissa",
        "{f} {s}",
    ),
    "インド": (
        30,
        "शर्मा वर्मा गुप्ता सिंह पटेल कुमार मिश्रा यादव जोशी मेहता",
        "आरव दीया विवान अनन्या आदित्य ईशा अर्जुन काव्या रोहन नेहा",
        "{f} {s}",
    ),
    "エジプト": (
        15,
        "محمود إبراهيم حسن علي السيد مصطفى عبدالله يوسف",
        "أحمد فاطمة محمد مريم عمر نور خالد سارة",
        "{f} {s}",
    ),
    "ロシア": (
        20,
        "Иванов Смирнов Кузнецов Попов Соколов Лебедев Козлов Новиков",
        "Александр Мария Дмитрий Анна Сергей Ольга Иван Екатерина",
        "{f} {s}",
    ),
    "タイ": (
        10,
        "สุขใจ ใจดี แสงทอง ศรีสุข บุญมา ทองดี",
        "สมชาย สมหญิง กมล มาลี ณัฐ วิภา",
        "{f} {s}",
    ),
}
COMPANIES = ("株式会社{}商事", "{}不動産株式会社", "有限会社{}工務店", "合同会社{}", "{}ホールディングス株式会社")
OTHER = "その他"
LABELS = (*PEOPLE, "台湾", "フィリピン", "インドネシア", "ドイツ", "スペイン", "カナダ", "オーストラリア", OTHER)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a name, and the nationality that is true."""

    last_name: str
    first_name: str
    full_name: str
    nationality: str


class Crowd:
    """People at random, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._nations = list(PEOPLE)
        self._weights = [PEOPLE[nation][0] for nation in self._nations]
        self._used: set[str] = set()
        self._words = {nation: (part[1].split(), part[2].split()) for nation, part in PEOPLE.items()}

    def person(self) -> Person:
        """Anybody; names repeat, as they do."""
        nation = self._draw.choices(self._nations, self._weights)[0]
        surnames, forenames = self._words[nation]
        last, first = self._draw.choice(surnames), self._draw.choice(forenames).replace("_", " ")
        return Person(last, first, PEOPLE[nation][3].format(s=last, f=first), nation)

    def somebody_new(self) -> Person:
        """Somebody with a name that was not given out by this before: with a second forename where need be."""
        while True:
            one = self.person()
            _, forenames = self._words[one.nationality]
            for _ in range(3):
                if one.full_name not in self._used:
                    self._used.add(one.full_name)
                    return one
                second = f"{one.first_name} {self._draw.choice(forenames).replace('_', ' ')}"
                if PEOPLE[one.nationality][3] == "{s}{f}":
                    second = second.replace(" ", "")
                full = PEOPLE[one.nationality][3].format(s=one.last_name, f=second)
                one = Person(one.last_name, second, full, one.nationality)

    def company(self) -> Person:
        """A firm that rents a room: it has no nationality."""
        name = self._draw.choice(COMPANIES).format(self._draw.choice(self._words["日本"][0]))
        return Person(name, "", name, OTHER)


_BY_WORD: dict[str, set[str]] = {}
for _nation, (_, _surnames, _forenames, _) in PEOPLE.items():
    for _word in f"{_surnames} {_forenames}".replace("_", " ").split():
        _BY_WORD.setdefault(_word, set()).add(_nation)


def guess(full_name: str) -> tuple[str, float]:
    """What the model of this example says of a name: a nationality and its confidence.

    It knows the words above and no more, mixes up what a real model would mix up (a surname that two countries share),
    and is off now and then, the less sure the more often.
    """
    words = full_name.replace("\u3000", " ").split()
    found = [_BY_WORD[word] for word in words if word in _BY_WORD]
    if not found and full_name[:1] in _BY_WORD:  # Korean names are written without a space
        found = [_BY_WORD[full_name[:1]]]
    if not found:
        return OTHER, 0.35
    shared = set.intersection(*found) or set.union(*found)
    digest = hashlib.sha256(full_name.encode()).digest()
    chosen = sorted(shared)[digest[0] % len(shared)]
    sure = 0.97 if len(shared) == 1 and len(found) > 1 else 0.88 if len(shared) == 1 else 0.62
    sure -= (digest[1] / 256) ** 12 * 0.5  # now and then it is hardly sure at all
    if digest[2] < 256 * (1 - sure) * 0.5:
        others = [nation for nation in PEOPLE if nation != chosen]
        chosen = others[digest[3] % len(others)]
    return chosen, round(sure, 4)
